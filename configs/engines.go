package configs

import (
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Slurm holds what a task of ablate submit --slurm requests from Slurm.
type Slurm struct {
	AtOnce    int      `mapstructure:"at_once"` // tasks at a time; 0 means no limit
	Pack      int      `mapstructure:"pack"`    // runs in each task; 0 means as many as take some minutes
	Time      string   `mapstructure:"time"`
	Partition string   `mapstructure:"partition"`
	GPUs      int      `mapstructure:"gpus"`
	CPUs      int      `mapstructure:"cpus"`
	Mem       string   `mapstructure:"mem"`
	Sbatch    []string `mapstructure:"sbatch"` // further options of sbatch
	Setup     []string `mapstructure:"setup"`  // lines of bash before the first run: module load cuda
}

// Kubernetes describes a pod of ablate submit --kubernetes.
type Kubernetes struct {
	AtOnce int    `mapstructure:"at_once"` // pods at a time; 0 means no limit
	Pack   int    `mapstructure:"pack"`    // runs in each pod; 0 means one
	Image  string `mapstructure:"image"`   // the image that contains ablate
	Claim  string `mapstructure:"claim"`   // the claim of the volume with data and records
	Mount  string `mapstructure:"mount"`   // where the pod mounts the volume
	GPUs   int    `mapstructure:"gpus"`
	CPUs   int    `mapstructure:"cpus"`
	Mem    string `mapstructure:"mem"`
	Queue  string `mapstructure:"queue"` // Kueue's queue
}

// bindEngines binds flags to the keys with their names: --at-once to slurm.at_once and
// kubernetes.at_once.
func bindEngines(v *viper.Viper, flags *pflag.FlagSet) error {
	for engine, t := range map[string]reflect.Type{
		"slurm": reflect.TypeFor[Slurm](), "kubernetes": reflect.TypeFor[Kubernetes](),
	} {
		for i := range t.NumField() {
			key := t.Field(i).Tag.Get("mapstructure")
			f := flags.Lookup(strings.ReplaceAll(key, "_", "-"))
			if f == nil || flags.Lookup(engine) == nil { // the flags of another command
				continue
			}
			if err := v.BindPFlag(engine+"::"+key, f); err != nil {
				return err
			}
		}
	}
	return nil
}

package configs

import (
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Slurm says what a task of ablate submit --slurm asks of Slurm.
type Slurm struct {
	AtOnce    int      `mapstructure:"at_once"` // tasks, 0 for as many as Slurm likes
	Pack      int      `mapstructure:"pack"`    // runs of a task, 0 for as many as make it last some minutes
	Time      string   `mapstructure:"time"`
	Partition string   `mapstructure:"partition"`
	GPUs      int      `mapstructure:"gpus"`
	CPUs      int      `mapstructure:"cpus"`
	Mem       string   `mapstructure:"mem"`
	Sbatch    []string `mapstructure:"sbatch"` // further options of sbatch
	Setup     []string `mapstructure:"setup"`  // lines of bash before the first run: module load cuda
}

// Kubernetes says what a pod of ablate submit --kubernetes is.
type Kubernetes struct {
	AtOnce int    `mapstructure:"at_once"` // pods, 0 for as many as fit
	Pack   int    `mapstructure:"pack"`    // runs of a pod, 0 for one
	Image  string `mapstructure:"image"`   // that holds ablate
	Claim  string `mapstructure:"claim"`   // of the volume with data and records
	Mount  string `mapstructure:"mount"`   // where the volume is in the pod
	GPUs   int    `mapstructure:"gpus"`
	CPUs   int    `mapstructure:"cpus"`
	Mem    string `mapstructure:"mem"`
	Queue  string `mapstructure:"queue"` // of Kueue
}

// bindEngines lets flags stand for the keys of their names: --at-once for slurm.at_once and kubernetes.at_once.
func bindEngines(v *viper.Viper, flags *pflag.FlagSet) error {
	for engine, t := range map[string]reflect.Type{
		"slurm": reflect.TypeFor[Slurm](), "kubernetes": reflect.TypeFor[Kubernetes](),
	} {
		for i := range t.NumField() {
			key := t.Field(i).Tag.Get("mapstructure")
			f := flags.Lookup(strings.ReplaceAll(key, "_", "-"))
			if f == nil || flags.Lookup(engine) == nil { // of another command
				continue
			}
			if err := v.BindPFlag(engine+"::"+key, f); err != nil {
				return err
			}
		}
	}
	return nil
}

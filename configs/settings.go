package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"ablate/strictyaml"
)

// Settings are not part of a study: where records go, and what computes. None of them changes a
// result.
type Settings struct {
	Runs    string `mapstructure:"runs"`
	Device  string `mapstructure:"device"`
	Threads int    `mapstructure:"threads"`
	Sinks   Sinks  `mapstructure:"sinks"`
	OnEnd   OnEnd  `mapstructure:"on_end"`

	Slurm      Slurm      `mapstructure:"slurm"`
	Kubernetes Kubernetes `mapstructure:"kubernetes"`
}

// LoadSettings combines, in this order of precedence: flags that were given; the environment
// (ABLATE_RUNS, ABLATE_DEVICE, ABLATE_THREADS); ablate.yaml in the current folder, or else in the
// user's configuration folder; the defaults.
func LoadSettings(flags *pflag.FlagSet) (Settings, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter("::"))
	v.SetDefault("runs", "runs")
	v.SetDefault("device", "auto")
	v.SetDefault("threads", 0)
	v.SetEnvPrefix("ablate")
	v.AutomaticEnv()
	for _, name := range []string{"runs", "device", "threads"} {
		if f := flags.Lookup(name); f != nil {
			if err := v.BindPFlag(name, f); err != nil {
				return Settings{}, err
			}
		}
	}
	if err := bindEngines(v, flags); err != nil {
		return Settings{}, err
	}
	if err := readSettings(v); err != nil {
		return Settings{}, err
	}
	var s Settings
	// Text from the environment is converted to numbers here; studies are decoded more strictly.
	if err := v.UnmarshalExact(&s, func(c *mapstructure.DecoderConfig) { c.WeaklyTypedInput = true }); err != nil {
		return s, fmt.Errorf("settings: %s", strings.Join(strings.Fields(err.Error()), " ")) // mapstructure's has many lines
	}
	if s.Threads < 0 {
		return s, fmt.Errorf("settings: threads is %d; 0 means all cores", s.Threads)
	}
	return s, nil
}

func readSettings(v *viper.Viper) error {
	files := []string{"ablate.yaml"}
	if dir, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(dir, "ablate", "ablate.yaml"))
	}
	for i, f := range files {
		text, err := strictyaml.ReadFile(f)
		// A folder of settings that this user may not look into says nothing to him.
		if errors.Is(err, fs.ErrNotExist) || i > 0 && errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err == nil {
			v.SetConfigType("yaml")
			err = v.ReadConfig(bytes.NewReader(text))
		}
		if err != nil {
			return fmt.Errorf("settings: read %s: %w", f, err)
		}
		return nil
	}
	return nil
}

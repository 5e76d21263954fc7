package recipe

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ablate/strictyaml"
)

// A Trainer is a user's program that trains instead of ablate. Its params are the rest of the
// recipe.
type Trainer struct {
	// the program and its arguments; no shell reads them. {recipe} stands for the JSON file of the
	// params, {params.lr} for one param; {seed}, {study}, {variant} and {device} are the run's, and
	// {run} is the folder that the program may write to. {{seed}} is the text {seed}
	Command []string `yaml:"command" json:"command" required:"true" items:"1000" example:"[python, train.py, '{seed}']"`
	// environment variables, added to those of ablate itself. The record contains them, so they
	// must not be secret
	Env map[string]string `yaml:"env" json:"env,omitempty" example:"{OMP_NUM_THREADS: '1'}"`
	// the folder in which the program starts, relative to the study's file; by default that of the
	// study's file
	Dir string `yaml:"dir" json:"dir,omitempty" example:"vision"`
	// a command to run once before the first run, for example to download the data
	Setup []string `yaml:"setup" json:"setup,omitempty" items:"1000" example:"[python, download.py]"`
	// how long one attempt may take; by default there is no limit
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty" example:"12h"`
	// how long the program may continue after SIGTERM, which Ctrl-C and the timeout send, before it
	// is killed; by default 30 seconds
	Grace Duration `yaml:"grace" json:"grace,omitempty" example:"2m"`
	// how often a failed run is tried again immediately, by the same command with ABLATE_RESUME=1
	Retries int `yaml:"retries" json:"retries,omitempty" min:"0" max:"1000" example:"2"`
	// added to every seed, so that the same program trains under other seeds, as in `ablate run
	// --aa`
	SeedOffset int `yaml:"seed_offset" json:"seed_offset,omitempty" min:"0" max:"1e9" example:"1000000"`
	// the metric to compare variants by
	Metric TrainerMetric `yaml:"metric" json:"metric" required:"true" example:"{name: val_accuracy, better: higher}"`
}

// TrainerMetric is the metric of a program by which variants are compared, unless the study's
// report names another.
type TrainerMetric struct {
	// its name, as the program logs it
	Name string `yaml:"name" json:"name" required:"true" example:"val_accuracy"`
	// which values are better
	Better string `yaml:"better" json:"better" required:"true" oneof:"higher lower" example:"higher"`
}

// A Duration is a time such as 90s, 10m or 12h.
type Duration time.Duration

// UnmarshalStrict reads 90s, 10m, 12h.
func (d *Duration) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Kind != strictyaml.Scalar || d.UnmarshalText([]byte(n.Text())) != nil {
		return n.Errorf("want a time such as 90s, 10m or 12h")
	}
	return nil
}

// UnmarshalText reads the form that MarshalText writes.
func (d *Duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t <= 0 {
		return fmt.Errorf("%q is not a time such as 90s, 10m or 12h", text)
	}
	*d = Duration(t)
	return nil
}

// MarshalText writes a form such as 1m30s.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Describe returns the schema of the forms that UnmarshalStrict reads.
func (Duration) Describe(strictyaml.Comments) *strictyaml.Schema {
	return &strictyaml.Schema{
		Type: strictyaml.Types{"string"}, Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`,
	}
}

// IsProgram reports whether a user's program trains.
func (r Recipe) IsProgram() bool { return r.Trainer != nil }

// placeholder matches {word} in a command; a second pair of braces makes it plain text.
var placeholder = regexp.MustCompile(`\{?\{([a-zA-Z][\w.-]*)\}\}?`)

// Placeholders lists the words that stand for a value in a trainer's command.
var Placeholders = []string{"recipe", "seed", "run", "study", "variant", "device"}

// Expand replaces the words in braces by values.
func (r Recipe) Expand(command []string, values map[string]string) ([]string, error) {
	out := make([]string, len(command))
	for i, word := range command {
		var failed error
		out[i] = placeholder.ReplaceAllStringFunc(word, func(m string) string {
			name := placeholder.FindStringSubmatch(m)[1]
			open, closed := strings.HasPrefix(m, "{{"), strings.HasSuffix(m, "}}")
			if open && closed {
				return "{" + name + "}"
			}
			value, ok := values[name]
			if path, isParam := strings.CutPrefix(name, "params."); isParam {
				value, ok = r.Params.word(path)
			}
			if !ok && failed == nil {
				known := slices.Sorted(maps.Keys(values))
				failed = fmt.Errorf("{%s} is not a placeholder (write {{%s}} for the text itself)%s", name, name,
					strictyaml.Suggest(name, append(known, r.Params.paths("params.")...)))
			}
			if open {
				value = "{" + value
			}
			if closed {
				value += "}"
			}
			return value
		})
		if failed != nil {
			return nil, failed
		}
	}
	return out, nil
}

// validateProgram refuses a trainer that cannot be started.
func (r Recipe) validateProgram() error {
	t := r.Trainer
	switch {
	case len(t.Command) == 0 || t.Command[0] == "":
		return keyError("trainer.command", "is missing; write the program and its arguments, "+
			"as in [python, train.py, --config, '{recipe}', --seed, '{seed}']")
	case t.Metric.Name == "":
		return keyError("trainer.metric", "is missing; write the metric to compare variants by, "+
			"as in {name: val_accuracy, better: higher}")
	}
	if err := strictyaml.CheckBounds(t, "trainer"); err != nil {
		return err
	}
	values := map[string]string{}
	for _, word := range Placeholders {
		values[word] = ""
	}
	for key, words := range map[string][]string{"trainer.command": t.Command, "trainer.setup": t.Setup} {
		if _, err := r.Expand(words, values); err != nil {
			return &strictyaml.Error{Key: key, Msg: key + ": " + err.Error()}
		}
	}
	for name := range t.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return keyError("trainer.env", "%s cannot be an environment variable's name", strconv.Quote(name))
		}
	}
	return nil
}

// programIdentity returns the trainer without what cannot change the result.
func (t Trainer) programIdentity() *Trainer {
	return &Trainer{Command: t.Command, Env: t.Env, SeedOffset: t.SeedOffset}
}

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

// A Trainer is a program of the user's that trains in place of ablate. Its params are the rest of the recipe.
type Trainer struct {
	// the program and its arguments, which no shell reads. {recipe} is the file of the params as JSON, {params.lr} one
	// of them; {seed}, {study}, {variant}, {device} and {run}, the folder that the program may write to, are the run's.
	// {{seed}} is the text {seed}
	Command []string `yaml:"command" json:"command" required:"true" items:"1000" example:"[python, train.py, '{seed}']"`
	// environment variables beside those that ablate itself has. They stand in the record: no secrets
	Env map[string]string `yaml:"env" json:"env,omitempty" example:"{OMP_NUM_THREADS: '1'}"`
	// the folder that the program starts in, relative to the study's file, and without it that of the study's file
	Dir string `yaml:"dir" json:"dir,omitempty" example:"vision"`
	// a command that runs once before the first run, such as one that fetches the data
	Setup []string `yaml:"setup" json:"setup,omitempty" items:"1000" example:"[python, download.py]"`
	// how long one attempt may take; without it, as long as it wants
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty" example:"12h"`
	// how long the program may go on after SIGTERM, which Ctrl-C and the timeout send, before it is killed; without
	// it 30 seconds
	Grace Duration `yaml:"grace" json:"grace,omitempty" example:"2m"`
	// how often a run that failed is tried again at once, by the same command with ABLATE_RESUME=1
	Retries int `yaml:"retries" json:"retries,omitempty" min:"0" max:"1000" example:"2"`
	// is added to every seed: the same program under other seeds, as `ablate run --aa` compares it with itself
	SeedOffset int `yaml:"seed_offset" json:"seed_offset,omitempty" min:"0" max:"1e9" example:"1000000"`
	// what variants are compared by
	Metric TrainerMetric `yaml:"metric" json:"metric" required:"true" example:"{name: val_accuracy, better: higher}"`
}

// TrainerMetric is the figure of a program that variants are compared by, unless the study's report names another.
type TrainerMetric struct {
	// its name, as the program logs it
	Name string `yaml:"name" json:"name" required:"true" example:"val_accuracy"`
	// which of two values is the better one
	Better string `yaml:"better" json:"better" required:"true" oneof:"higher lower" example:"higher"`
}

// A Duration is a time such as 90s, 10m or 12h.
type Duration time.Duration

// UnmarshalStrict reads 90s, 10m, 12h.
func (d *Duration) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Kind != strictyaml.Scalar || d.UnmarshalText([]byte(n.Text())) != nil {
		return n.Errorf("a time is written as 90s, 10m or 12h")
	}
	return nil
}

// UnmarshalText reads what MarshalText writes.
func (d *Duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t <= 0 {
		return fmt.Errorf("%q is not a time such as 90s, 10m or 12h", text)
	}
	*d = Duration(t)
	return nil
}

// MarshalText writes 1m30s.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Describe is what UnmarshalStrict reads.
func (Duration) Describe(strictyaml.Comments) *strictyaml.Schema {
	return &strictyaml.Schema{
		Type: strictyaml.Types{"string"}, Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`,
	}
}

// IsProgram says that a program of the user's trains.
func (r Recipe) IsProgram() bool { return r.Trainer != nil }

// placeholder is {word} in a command; a second pair of braces around it makes it plain text.
var placeholder = regexp.MustCompile(`\{?\{([a-zA-Z][\w.-]*)\}\}?`)

// Placeholders are the words that stand for something in a trainer's command.
var Placeholders = []string{"recipe", "seed", "run", "study", "variant", "device"}

// Expand puts values in the place of the words in braces.
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
				failed = fmt.Errorf("{%s} stands for nothing (write {{%s}} for the text itself)%s", name, name,
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

// validateProgram refuses what cannot be started.
func (r Recipe) validateProgram() error {
	t := r.Trainer
	switch {
	case len(t.Command) == 0 || t.Command[0] == "":
		return keyError("trainer.command", "is missing: write the program and its arguments, "+
			"as in [python, train.py, --config, '{recipe}', --seed, '{seed}']")
	case t.Metric.Name == "":
		return keyError("trainer.metric", "is missing: write what variants are compared by, "+
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

// programIdentity is the trainer without what cannot change the result.
func (t Trainer) programIdentity() *Trainer {
	return &Trainer{Command: t.Command, Env: t.Env, SeedOffset: t.SeedOffset}
}

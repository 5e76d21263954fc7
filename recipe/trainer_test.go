package recipe

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"ablate/strictyaml"
)

// program is a recipe whose trainer is a program.
func program(t *testing.T, params string) Recipe {
	t.Helper()
	r := Recipe{Trainer: &Trainer{
		Command: []string{"python3", "train.py", "{recipe}"}, Metric: TrainerMetric{Name: "loss", Better: "lower"},
	}}
	node, err := strictyaml.Parse("p.yaml", []byte("params: "+params))
	if err == nil {
		err = node.Get("params").Decode(&r.Params)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A program gets the numbers that its study says: 1.0 is a float, 1 is none, and large numbers are whole.
func TestParamsAsJSON(t *testing.T) {
	r := program(t, `{a: 1.0, b: 1, c: 1e-4, d: "1", e: 9007199254740993, f: 0x10, g: 1_000, h: .5, i: null, j: yes,
  k: [1, {L: x}], m: 2026-11-24, n: 010, o: 0.30000000000000004, p: -3, q: 1.2.3, r: ~}`)
	got, err := json.Marshal(r.Params)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a":1.0,"b":1,"c":0.0001,"d":"1","e":9007199254740993,"f":16,"g":1000,"h":0.5,"i":null,"j":"yes",` +
		`"k":[1,{"L":"x"}],"m":"2026-11-24","n":10,"o":0.30000000000000004,"p":-3,"q":"1.2.3","r":null}`
	if string(got) != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(text)
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%+v, %v from %s", back, err, text)
	}
}

// Where a program lies, how long it may take and what it is judged by change no result.
func TestProgramIdentity(t *testing.T) {
	base := program(t, "{lr: 0.1, opt: {kind: sgd}}")
	id := func(change func(*Recipe)) string {
		r := base.Clone()
		change(&r)
		id, err := r.Identity()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	same := id(func(*Recipe) {})
	for name, change := range map[string]func(*Recipe){
		"dir":     func(r *Recipe) { r.Trainer.Dir = "/elsewhere" },
		"timeout": func(r *Recipe) { r.Trainer.Timeout = 1 },
		"retries": func(r *Recipe) { r.Trainer.Retries = 2 },
		"metric":  func(r *Recipe) { r.Trainer.Metric.Name = "other" },
		"setup":   func(r *Recipe) { r.Trainer.Setup = []string{"make"} },
	} {
		if id(change) != same {
			t.Errorf("%s changes the identity", name)
		}
	}
	for name, change := range map[string]func(*Recipe){
		"command": func(r *Recipe) { r.Trainer.Command[1] = "other.py" },
		"env":     func(r *Recipe) { r.Trainer.Env = map[string]string{"A": "1"} },
		"params":  func(r *Recipe) { r.Params["opt"].(map[string]any)["kind"] = "adam" },
	} {
		if id(change) == same {
			t.Errorf("%s does not change the identity", name)
		}
	}
	if got, _ := base.Identity(); got != same {
		t.Error("a clone shares what it holds with its origin")
	}
}

func TestExpand(t *testing.T) {
	r := program(t, `{lr: 0.1, opt: {kind: sgd}, sizes: [1, 2], name: "a b"}`)
	for word, want := range map[string]string{
		"{seed}": "7", "--lr={params.lr}": "--lr=0.1", "{params.opt.kind}": "sgd", "{params.opt}": `{"kind":"sgd"}`,
		"{params.sizes}": "[1,2]", "{params.name}": "a b", "{{seed}}": "{seed}", `{"seed": {seed}}`: `{"seed": 7}`,
		"{}": "{}", "{ print }": "{ print }", "a{seed}b{seed}": "a7b7",
	} {
		got, err := r.Expand([]string{word}, map[string]string{"seed": "7"})
		if err != nil || got[0] != want {
			t.Errorf("%s: %q, %v; want %q", word, got, err, want)
		}
	}
	for _, word := range []string{"{sed}", "{params.missing}", "{params.lr.deeper}"} {
		if got, err := r.Expand([]string{word}, map[string]string{"seed": "7"}); err == nil {
			t.Errorf("%s: %q", word, got)
		}
	}
}

func TestProgramRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Trainer)
		says   string
	}{
		"no command":  {func(t *Trainer) { t.Command = nil }, "trainer.command is missing"},
		"no metric":   {func(t *Trainer) { t.Metric = TrainerMetric{} }, "trainer.metric is missing"},
		"better":      {func(t *Trainer) { t.Metric.Better = "bigger" }, "higher, lower"},
		"placeholder": {func(t *Trainer) { t.Setup = []string{"{recipes}"} }, "did you mean recipe?"},
		"retries":     {func(t *Trainer) { t.Retries = -1 }, "trainer.retries is -1"},
		"variable":    {func(t *Trainer) { t.Env = map[string]string{"A=B": "1"} }, "trainer.env"},
	} {
		r := program(t, "{lr: 0.1}")
		c.change(r.Trainer)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestProgramChanges(t *testing.T) {
	a, b := program(t, "{lr: 0.1, opt: {kind: sgd}, heads: 4}"), program(t, "{lr: 0.01, opt: {kind: adam}}")
	b.Trainer.Command[2] = "x"
	want := []string{"heads 4→–", "lr 0.1→0.01", "opt.kind sgd→adam",
		"trainer.command [python3 train.py {recipe}]→[python3 train.py x]"}
	if got := Changes(a, b); !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

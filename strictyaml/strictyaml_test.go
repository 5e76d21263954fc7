package strictyaml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Size  int      `yaml:"size"`
	Names []string `yaml:"names"`
}

type outer struct {
	Name  string         `yaml:"name"`
	Rate  float64        `yaml:"rate"`
	On    bool           `yaml:"on"`
	Seed  uint64         `yaml:"seed"`
	Inner inner          `yaml:"inner"`
	Ptr   *inner         `yaml:"ptr"`
	Map   map[string]int `yaml:"map"`
}

func TestDecode(t *testing.T) {
	n, err := Parse("f", []byte("name: x\nrate: 1e-3\non: true\nseed: 18446744073709551615\n"+
		"inner: {size: 1_000, names: [a, b]}\nptr: {size: 2}\nmap: {k: 3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := outer{Inner: inner{Size: 7}}
	if err := n.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := outer{Name: "x", Rate: 1e-3, On: true, Seed: 1<<64 - 1, Inner: inner{1000, []string{"a", "b"}},
		Ptr: &inner{Size: 2}, Map: map[string]int{"k": 3}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDecodeKeepsWhatIsNotWritten(t *testing.T) {
	n, _ := Parse("f", []byte("inner: {names: [a]}\n"))
	got := outer{Name: "kept", Inner: inner{Size: 7}}
	if err := n.Decode(&got); err != nil || got.Name != "kept" || got.Inner.Size != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"nam: x\n":                    "f:1: unknown key nam; did you mean name?",
		"nothing_like_it: ~\n":        "f:1: unknown key nothing_like_it; known: name, rate, on, seed, inner, ptr, map",
		"name: x\nname: y\n":          "f:2: key name appears twice, first on line 1",
		"Name: x\n":                   `f:1: key "Name": keys are lower-case; write name`,
		"rate: fast\n":                `f:1: rate wants a finite number, found "fast"`,
		"rate: .nan\n":                `f:1: rate wants a finite number, found ".nan"`,
		"rate: \"3\"\n":               `f:1: rate wants a finite number, found "3"`,
		"on: yes\n":                   `f:1: on wants true or false, found "yes"`,
		"seed: -1\n":                  `f:1: seed wants a whole number of at least 0, found "-1"`,
		"inner:\n  size: 1.5\n":       `f:2: size wants a whole number, found "1.5"`,
		"inner: [1]\n":                "f:1: inner wants a mapping of size, names, found a list",
		"inner: {names: a}\n":         `f:1: names wants a list, found "a"`,
		"name: {a: 1}\n":              "f:1: name wants a word, found a mapping of 1 key",
		"name: &a x\nrate: *a\n":      "f:2: anchors and aliases are not supported; write the value out, or use extends",
		"name: x\n---\nname: y\n":     "f:2: a second document; a file holds only one",
		"name: [\n":                   "f:1: did not find expected node content",
		"? [a]\n: 1\n":                "f:1: a key must be a word",
		"inner: {size: 1\nname: 2}\n": "f:1: did not find expected ',' or '}'",
	} {
		n, err := Parse("f", []byte(text))
		if err == nil {
			err = n.Decode(new(outer))
		}
		if err == nil || !strings.HasPrefix(err.Error(), want[:min(len(want), 200)]) {
			t.Errorf("%q is %v, want %s", text, err, want)
		}
	}
}

func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"deep": strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		"wide": "[" + strings.Repeat("1,", MaxNodes+1) + "]",
		"long": strings.Repeat(" ", MaxBytes+1),
	} {
		if _, err := Parse("f", []byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Values keep the file they were written in.
func TestMergeKeepsPlaces(t *testing.T) {
	base, _ := Parse("base", []byte("name: x\ninner: {size: big, names: [a]}\n"))
	over, _ := Parse("over", []byte("rate: 2\ninner: {names: [b, c]}\n"))
	m := Merge(base, over)
	if got := strings.Join(m.Keys(), " "); got != "name inner rate" {
		t.Errorf("keys %s", got)
	}
	err := m.Decode(new(outer))
	if err == nil || err.Error() != `base:2: size wants a whole number, found "big"` {
		t.Error(err)
	}
	if n := len(m.Get("inner").Get("names").Items()); n != 2 {
		t.Errorf("lists merge: %d items", n)
	}
	if len(base.Keys()) != 2 {
		t.Error("Merge changed its input")
	}
}

func TestSetPath(t *testing.T) {
	n, _ := Parse("f", []byte("name: x\n"))
	v, err := Value("--set inner.size", "4")
	if err != nil {
		t.Fatal(err)
	}
	if n, err = n.SetPath("inner.size", v); err != nil {
		t.Fatal(err)
	}
	var got outer
	if err := n.Decode(&got); err != nil || got.Inner.Size != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	bad, _ := Value("--set inner.size", "four")
	n, _ = n.SetPath("inner.size", bad)
	if err := n.Decode(&got); err == nil || err.Error() != `--set inner.size: size wants a whole number, found "four"` {
		t.Error(err)
	}
}

func TestExpandEnv(t *testing.T) {
	lookup := func(name string) (string, bool) { return "/data", name == "DIR" }
	for text, want := range map[string]string{`"${DIR}/x"`: "/data/x", `"$${DIR}"`: "${DIR}", `"$5"`: "$5",
		`"a${DIR}b${DIR}"`: "a/datab/data"} {
		n, _ := Parse("f", []byte("name: "+text))
		n, err := n.ExpandEnv(lookup)
		if err != nil || n.Get("name").Text() != want {
			t.Errorf("%s: %v, %v", text, n, err)
		}
	}
	for text, want := range map[string]string{
		`"${NOPE}"`: "f:1: environment variable NOPE is not set: export NOPE=…", `"${DIR"`: "f:1: ${ without }",
	} {
		n, _ := Parse("f", []byte("name: "+text))
		if _, err := n.ExpandEnv(lookup); err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"epoch": "epochs", "filtres": "filters", "xyz": "", "lrr": "lr"} {
		if got, _ := Nearest(word, []string{"epochs", "filters", "lr", "momentum"}); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name: x\ninner: {size: 1, names: [a]}\n")
	f.Add("a: &x [*x]\n")
	f.Add("? {a: b}\n: c\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		_ = n.Decode(new(outer))
		if e, err := n.ExpandEnv(func(string) (string, bool) { return "", true }); err == nil {
			_ = Merge(n, e).Decode(new(outer))
		}
	})
}

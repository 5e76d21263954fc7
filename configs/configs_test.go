package configs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"ablate/ablations"
	"ablate/arch"
)

func TestShippedStudies(t *testing.T) {
	t.Setenv("ABLATE_DATA", "/data")
	for _, name := range Names() {
		s, err := Load(name, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != name {
			t.Errorf("configs/%s.yaml holds study %s", name, s.Name)
		}
	}
}

func TestQuickstart(t *testing.T) {
	s, err := Load("quickstart", []string{"train.epochs=1"})
	if err != nil {
		t.Fatal(err)
	}
	checkVariants(t, s, []string{"baseline", "no-lrn", "no-dropout", "leaky"}, map[string]string{
		"baseline": "", "no-lrn": "− norm1, norm2", "no-dropout": "− drop6", "leaky": "relu1 … relu4 (4): relu → leaky_relu",
	})
	for _, v := range s.Variants {
		if v.Recipe.Train.Epochs != 1 {
			t.Errorf("%s: --set did not reach the variant", v.Name)
		}
	}
}

// The catalogue's ablations on a net that is not the paper's.
func TestCatalogueOnASmallNet(t *testing.T) {
	s, err := Load(write(t, "s.yaml", `
study: small
net: alexnet-32
data: {name: shapes, train: 100, test: 20}
train: {batch: 20, epochs: 1, lr: 0.01}
seeds: 1
variants:
  baseline: {}
  no-lrn: {ablate: [no-lrn]}
  no-overlapping-pooling: {ablate: [no-overlapping-pooling]}
  no-dropout: {ablate: [no-dropout]}
  one-gpu: {ablate: [one-gpu]}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	checkVariants(t, s, []string{"baseline", "no-lrn", "no-overlapping-pooling", "no-dropout", "one-gpu"},
		map[string]string{
			"baseline": "", "no-lrn": "− norm1, norm2", "no-dropout": "− drop6, drop7",
			"no-overlapping-pooling": "pool1, pool2, pool5: kernel 3→2",
			"one-gpu":                "conv1: filters 16→8 · conv2, conv3, conv4: filters 32→16 · columns 2→1",
		})
}

// checkVariants compares a study's variants, in order, and what each changes.
func checkVariants(t *testing.T, s *Study, names []string, changes map[string]string) {
	t.Helper()
	got := map[string]string{}
	var order []string
	for _, v := range s.Variants {
		order = append(order, v.Name)
		got[v.Name] = strings.Join(v.Changes, " · ")
	}
	if d := cmp.Diff(names, order); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(changes, got); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
}

// write puts files into a folder and returns the first one's path.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0])
}

const good = `study: s
net: alexnet-32
data: {name: shapes}
train: {batch: 10, epochs: 1, lr: 0.01}
seeds: 1
`

// badStudies are bad inputs and what is said of them.
var badStudies = map[string]struct{ yaml, want string }{
	"unknown key": {good + "variants: {a: {ablate: [no-lrn]}}\nepoch: 3\n",
		"s.yaml:7: unknown key epoch; known: study"},
	"unknown inner key": {strings.Replace(good, "epochs", "epoch", 1),
		"s.yaml:4: unknown key epoch; did you mean epochs?"},
	"misspelt net": {strings.Replace(good, "net: a", "nett: a", 1), "s.yaml:2: unknown key nett; did you mean net?"},
	"repeated key": {good + "seeds: 2\n", "s.yaml:6: key seeds appears twice, first on line 5"},
	"upper case": {strings.Replace(good, "seeds", "Seeds", 1),
		`s.yaml:5: key "Seeds": keys are lower-case; write seeds`},
	"wrong type": {strings.Replace(good, "batch: 10", "batch: ten", 1),
		`s.yaml:4: batch wants a whole number, found "ten"`},
	"zero seeds": {strings.Replace(good, "seeds: 1", "seeds: 0", 1),
		"s.yaml:5: seeds is 0; want 1 to 10000"},
	"no variants":   {good, "s.yaml:1: no variants: write at least variants: {baseline: {}}"},
	"zero variants": {good + "variants: {}\n", "s.yaml:6: no variants: write at least variants: {baseline: {}}"},
	"duplicate variants": {good + "variants:\n  a: {ablate: [no-lrn]}\n  a: {ablate: [no-dropout]}\n",
		"s.yaml:8: key a appears twice, first on line 7"},
	"same recipe twice": {good + "variants:\n  a: {ablate: [no-lrn]}\n  b: {ablate: [no-lrn]}\n",
		"s.yaml:6: variants a and b are the same recipe"},
	"variant of nothing": {good + "variants: {a: {}}\n",
		"s.yaml:6: variant a: changes nothing: add ablate, edits or a device"},
	"odd name": {good + "variants: {../a: {ablate: [no-lrn]}}\n",
		`s.yaml:6: variant "../a": names are lower-case letters, digits and - _ . +`},
	"unknown ablation": {good + "variants: {a: {ablate: [no-lnr]}}\n",
		"s.yaml:6: variant a: no ablation is called no-lnr; did you mean no-lrn?"},
	"unknown net": {strings.Replace(good, "alexnet-32", "alexnet-23", 1),
		"s.yaml:2: no net is called alexnet-23; did you mean alexnet-32?"},
	"bad value": {strings.Replace(good, "lr: 0.01", "lr: -1", 1), "s.yaml:4: train.lr is -1; it must be above 0"},
	"edit that does nothing": {good + "variants:\n  a:\n    edits:\n      - set: {select: {name: pool1}, kernel: 3}\n",
		"s.yaml:7: variant a: " + "s.yaml:9: this set on net alexnet-32: changes nothing"},
	"edit that selects nothing": {good + "variants:\n  a:\n    edits:\n      - remove: {select: {kind: tanh}}\n",
		"s.yaml:7: variant a: s.yaml:9: kind tanh selects no layer of net alexnet-32: changes nothing"},
	"edit of an unknown layer": {good + "variants:\n  a:\n    edits:\n      - remove: {select: {name: conv9}}\n",
		"s.yaml:9: net alexnet-32 has no layer conv9; it has conv1, relu1"},
	"edit of an unknown key": {good + "variants:\n  a:\n    edits:\n      - set: {select: {name: conv1}, filter: 3}\n",
		"s.yaml:9: unknown key filter; did you mean filters? (layer conv1 is a conv)"},
	"net that no longer fits": {good +
		"variants:\n  a:\n    edits:\n      - set: {select: {name: pool2}, kernel: 99, ceil: false}\n",
		"s.yaml:9: after this edit, net alexnet-32, layer pool2 after norm2: a 99×99 window does not fit 16×16×32: the " +
			"output would be 0×0×32: shapes do not fit"},
	"unset variable": {strings.Replace(good, "name: shapes", `name: cifar10, root: "${ABLATE_NOT_SET}"`, 1),
		"s.yaml:3: environment variable ABLATE_NOT_SET is not set: export ABLATE_NOT_SET=…"},
	"unknown parent": {"extends: cifar10-bas\n" + good,
		"s.yaml:1: extends: no such study: cifar10-bas; did you mean cifar10-base?"},
	"components without design": {good + "components: [no-lrn]\nvariants: {baseline: {}}\n",
		"s.yaml:6: components need design:"},
	"unknown parallel": {good + "parallel: data-parallel\nvariants: {baseline: {}}\n",
		`s.yaml:6: parallel: unknown scheme "data-parallel"; want columns or data`},
	"columns and chunks": {strings.Replace(good, "lr: 0.01", "lr: 0.01, micro_batches: 2", 1) +
		"parallel: columns\nvariants: {baseline: {}}\n",
		"s.yaml:6: parallel: columns cannot be combined with train.micro_batches 2"},
	"chunks of an odd batch": {good + "parallel: data\nvariants: {baseline: {}}\n",
		"s.yaml:4: train.micro_batches is 4, which does not divide train.batch 10"},
	"three chunks": {strings.Replace(good, "lr: 0.01", "lr: 0.01, micro_batches: 3", 1) +
		"variants: {baseline: {}}\n", "s.yaml:4: train.micro_batches is 3; want 2, 4, 8"},
	"same devices twice": {good + "variants: {a: {device: \"cpu:0,cpu:1\"}, b: {device: \"cpu:0,cpu:1\"}}\n",
		"s.yaml:6: variants a and b are the same recipe"},
	"unknown design": {good + "design: leave-one-outt\n",
		"s.yaml:6: unknown design leave-one-outt; did you mean leave-one-out?"},
	"edit with an empty key": {good + "variants: {a: {edits: [{set: {key: \"\", value: 0}}]}}\n",
		"s.yaml:6: set needs a key, as in train.weight_decay"},
	"key that is never read": {good + "variants: {a: {edits: [{set: {key: train.schedule.patience, value: 9}}]}}\n",
		"s.yaml:6: variants baseline and a are the same recipe: train.schedule.patience is never read where " +
			"train.schedule.kind is constant"},
	"device's name": {good + "variants: {con: {ablate: [no-lrn]}}\n",
		`s.yaml:6: variant "con": the name is reserved for a device on Windows`},
	"own name": {good + "variants: {seed-1: {ablate: [no-lrn]}}\n",
		`s.yaml:6: variant "seed-1": records use this name for files`},
	"report's name": {good + "variants: {report.txt: {ablate: [no-lrn]}}\n",
		`s.yaml:6: variant "report.txt": records use this name`},
	"trailing dot": {good + "variants: {\"a..\": {ablate: [no-lrn]}}\n",
		`s.yaml:6: variant "a..": a name must not end in a dot`},
	"index's name": {strings.Replace(good, "study: s", "study: index.sqlite", 1) + "variants: {baseline: {}}\n",
		`s.yaml:1: study "index.sqlite": records use`},
	"controls": {good + "variants: {\"a\\e[31m\\n\": {ablate: [no-lrn]}}\n",
		`s.yaml:6: variant "a\x1b[31m\n": names are`},
	"long name": {strings.Replace(good, "alexnet-32", strings.Repeat("n", 900_000), 1),
		"s.yaml:2: no net is called \"nnnn"},
	"huge epochs": {strings.Replace(good, "epochs: 1", "epochs: 1000000000000", 1),
		"s.yaml:4: train.epochs is 1000000000000; it must be from 0 to 1,000,000,000"},
	"nth": {good + "variants: {a: {edits: [{remove: {select: {kind: lrn, nth: 1x}}}]}}\n",
		"s.yaml:6: nth is 1x, but 2 layers are selected"},
	"negative factor": {good + "variants: {a: {edits: [{set: {select: {name: conv1}, lr_factor: {weight: -1}}}]}}\n",
		"s.yaml:6: conv conv1: lr_factor.weight is -1; it must be from 0 to"},
	"insert that multiplies": {good + "variants: {a: {edits: [" +
		strings.Repeat("{insert: {after: {kind: [relu, conv]}, layers: ["+
			strings.Repeat("{relu: {}}, ", 50)+"]}}, ", 5) + "]}}\n", "layers; a net has at most 4096"},
	"component twice": {good + "design: cumulative\ncomponents: [no-lrn, no-lrn]\n",
		"s.yaml:7: component no-lrn is given twice"},
	"unknown component": {good + "design: cumulative\ncomponents: {lrn: {ablat: [no-lrn]}}\n",
		"s.yaml:7: unknown key ablat; did you mean ablate?"},
	"number as layers": {strings.Replace(good, "net: alexnet-32",
		"net: {net: x, input: {height: 1, width: 1, channels: 1}, layers: 3}", 1), "s.yaml:2: layers wants a list"},
	"skip in a net": {strings.Replace(good, "net: alexnet-32",
		"net: {net: x, input: {height: 1, width: 1, channels: 1}, layers: [{concat: {}}]}", 1),
		"s.yaml:2: unknown layer kind concat; a net has layers of these kinds: conv"},
}

// Every kind of bad input is answered with one line that says what and where.
func TestBadStudies(t *testing.T) {
	for name, c := range badStudies {
		t.Run(name, func(t *testing.T) {
			_, err := Load(write(t, "s.yaml", c.yaml), nil)
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), filepath.Dir(strings.SplitN(err.Error(), "s.yaml", 2)[0])+"/", "")
			if !strings.Contains(got, c.want) || strings.ContainsAny(got, "\n\x1b") || len(got) > 450 {
				t.Errorf("got    %s\nwant … %s", got, c.want)
			}
		})
	}
}

func TestCyclicExtends(t *testing.T) {
	_, err := Load(write(t, "a.yaml", "extends: b.yaml\n", "b.yaml", "extends: ./a.yaml\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "extends forms a circle: ") {
		t.Error(err)
	}
}

func TestSentinelsSurvive(t *testing.T) {
	_, err := Load(write(t, "s.yaml", good+"variants: {a: {edits: [{remove: {select: {kind: tanh}}}]}}\n"), nil)
	if !errors.Is(err, ablations.ErrNoChange) {
		t.Errorf("%v does not wrap ErrNoChange", err)
	}
	_, err = Load(write(t, "s.yaml",
		good+"variants: {a: {edits: [{set: {select: {name: pool1}, kernel: 99, ceil: false}}]}}\n"), nil)
	if !errors.Is(err, arch.ErrShape) {
		t.Errorf("%v does not wrap ErrShape", err)
	}
}

// Mappings merge, lists and scalars are replaced, and the child's file is named in errors.
func TestExtends(t *testing.T) {
	s, err := Load(write(t, "s.yaml",
		"study: child\nextends: base.yaml\ntrain: {epochs: 7, schedule: {kind: step, at: [5]}}\nseeds: [4, 2]\n",
		"base.yaml", good+"variants: {a: {ablate: [no-lrn]}}\n"), []string{"train.schedule.factor=0.5"})
	if err != nil {
		t.Fatal(err)
	}
	r := s.Variants[0].Recipe.Train
	if s.Name != "child" || r.Epochs != 7 || r.Batch != 10 || r.Schedule.Factor != 0.5 || s.Seeds[0] != 4 ||
		len(s.Variants) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestDesigns(t *testing.T) {
	for design, want := range map[string][]string{
		"leave-one-out": {"baseline", "no-lrn", "no-dropout"},
		"cumulative":    {"baseline", "no-lrn", "no-lrn+no-dropout"},
		"factorial":     {"baseline", "no-lrn", "no-dropout", "no-lrn+no-dropout"},
	} {
		s, err := Load(write(t, "s.yaml", good+"design: "+design+"\ncomponents: [no-lrn, no-dropout]\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range s.Variants {
			got = append(got, v.Name)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", design, d)
		}
	}
}

func TestInlineNet(t *testing.T) {
	s, err := Load(write(t, "s.yaml", strings.Replace(good, "net: alexnet-32", `net:
  net: mine
  input: {height: 32, width: 32, channels: 3}
  layers:
    - conv: {filters: 4, kernel: 3, init: {kind: he}}
    - relu: {}
    - dense: {outputs: 10, init: {kind: he}}
    - softmax_loss: {}`, 1)+"variants: {tanh: {ablate: [tanh]}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Variants[1].Changes; len(got) != 1 || got[0] != "relu1: relu → tanh" {
		t.Errorf("changes %q", got)
	}
}

// What extends brings can be dropped: variants, a design, any key, back to its default.
func TestExtendsDrops(t *testing.T) {
	base := strings.Replace(good, "lr: 0.01", "lr: 0.01, momentum: 0.5", 1) +
		"variants: {a: {ablate: [no-lrn]}, b: {ablate: [no-dropout]}}\n"
	s, err := Load(write(t, "s.yaml",
		"study: s\nextends: base.yaml\nvariants: {a: null, c: {ablate: [tanh]}}\ntrain: {momentum: null}\n", "base.yaml",
		base), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range s.Variants {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "baseline b c" || s.Variants[0].Recipe.Train.Momentum != 0.9 {
		t.Errorf("variants %s, momentum %v", got, s.Variants[0].Recipe.Train.Momentum)
	}
	if _, err := Load(write(t, "s.yaml", "study: s\nextends: base.yaml\nvariants: {x: null}\n", "base.yaml", base),
		nil); !errors.Is(err, ablations.ErrNoChange) {
		t.Errorf("dropping what is not there: %v", err)
	}
}

// A design's components may be of the study's own.
func TestOwnComponents(t *testing.T) {
	s, err := Load(write(t, "s.yaml", good+`design: factorial
components:
  no-lrn:
  wide: {edits: [{set: {select: {name: conv1}, filters: {times: 2}}}]}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range s.Variants {
		got[v.Name] = strings.Join(v.Changes, " · ")
		if v.Edited != strings.Contains(v.Name, "wide") || strings.Contains(v.Name, "no-lrn") != (len(v.Ablations) == 1) {
			t.Errorf("%s: edited %v, ablations %v", v.Name, v.Edited, v.Ablations)
		}
	}
	want := map[string]string{
		"baseline": "", "no-lrn": "− norm1, norm2", "wide": "conv1: filters 16→32",
		"no-lrn+wide": "− norm1, norm2 · conv1: filters 16→32",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// A flag wins over the environment, the environment over ablate.yaml, that over the default.
func TestSettings(t *testing.T) {
	t.Chdir(filepath.Dir(write(t, "ablate.yaml", "runs: from-file\nthreads: 3\n")))
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("ABLATE_RUNS", "from-env")
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("device", "auto", "")
	if err := flags.Parse([]string{"--device", "cpu"}); err != nil {
		t.Fatal(err)
	}
	got, err := LoadSettings(flags)
	if want := (Settings{Runs: "from-env", Device: "cpu", Threads: 3}); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if err := os.WriteFile("ablate.yaml", []byte("thread: 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSettings(flags); err == nil || !strings.Contains(err.Error(), "thread") {
		t.Errorf("an unknown key: %v", err)
	} else if strings.Contains(err.Error(), "\n") {
		t.Errorf("an unknown key: more than one line: %q", err)
	}
}

// A study is untrusted text: no panic, whatever it says.
func FuzzLoad(f *testing.F) {
	f.Add(good + "variants: {a: {ablate: [no-lrn]}}\n")
	f.Add(good + "design: factorial\ncomponents: [no-lrn, one-gpu]\n")
	f.Add(good + "variants: {a: {edits: [{insert: {after: {name: conv1}, layers: [{relu: {}}]}}]}}\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(dir, "s.yaml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := Load(file, nil); err == nil && len(s.Variants) == 0 {
			t.Error("a study without variants")
		}
	})
}

// A report needs no data: every study that ships has its variants where no folder is named.
func TestLoadLenientNeedsNoData(t *testing.T) {
	t.Setenv("ABLATE_DATA", "")
	if err := os.Unsetenv("ABLATE_DATA"); err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		s, err := LoadLenient(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != name || len(s.Variants) == 0 {
			t.Errorf("%s: study %q of %d variants", name, s.Name, len(s.Variants))
		}
	}
	if _, err := LoadLenient("nothing-of-this-name"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a name that does not ship: %v", err)
	}
}

package importer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/experiments/export/mlflow"
	"ablate/experiments/export/protobuf"
	"ablate/experiments/tfevents"
)

// A table that a spreadsheet or pandas wrote reads like one with commas.
func TestTablesOfOthers(t *testing.T) {
	for name, text := range map[string]string{
		"excel":  "\uFEFFvariant;seed;accuracy\r\na;1;0.5\r\na;2;0.75\r\n",
		"pandas": "variant,seed,accuracy\na,1.0,0.5\na,2.0,0.75\n",
		"tabs":   "variant\tseed\taccuracy\na\t1\t0.5\na\t2\t0.75\n",
		"spaces": "variant, seed, accuracy\na, 1, 0.5\na, 2, 0.75\n",
		"gaps":   "variant,seed,accuracy,loss\na,1,0.5,\na,2,0.75,\n",
	} {
		table, err := parseTable(name, strings.NewReader(text))
		if err != nil {
			t.Fatal(name, err)
		}
		s, err := table.source("csv", Mapping{})
		if err != nil {
			t.Fatal(name, err)
		}
		if len(s.Runs) != 2 || s.Runs[1].Variant != "a" || s.Runs[1].Seed != 2 || s.Runs[1].Metrics[0].Value != 0.75 {
			t.Errorf("%s: %+v", name, s.Runs)
		}
	}
}

// Learning curves keep their steps and epochs, and splits begin the metrics' names.
func TestLongTableWithSteps(t *testing.T) {
	table, err := parseTable("t.csv", strings.NewReader("variant,seed,split,epoch,metric,value\n"+
		"a,1,test,1,loss,2\na,1,test,2,loss,nan\na,1,train,2,loss,-inf\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := table.source("csv", Mapping{})
	if err != nil {
		t.Fatal(err)
	}
	got := s.Runs[0].Metrics
	if len(got) != 3 || got[0].Name != "test_loss" || got[2].Name != "train_loss" {
		t.Fatalf("%+v", got)
	}
	if got[1].Epoch != 2 || got[1].Step != 2 {
		t.Errorf("%+v", got)
	}
}

// The columns are those of exports that users of W&B published: quoted cells, what W&B itself keeps of a run first,
// then its config and its summary, each in the order of the alphabet.
func TestRunsOfWandB(t *testing.T) {
	table, err := parseTable("runs.csv", strings.NewReader(
		`"Name","Agent","State","Notes","User","Tags","Created","Runtime","Sweep","lr","metric.goal","model_type","seed",`+
			`"eval/mse_mean","train_loss","val_loss"`+"\n"+
			`"swin_1763019025","","finished","-","ada","","2025-11-13T07:30:18.000Z","10195","1wfh","0.0001","","swin","1",`+
			`"0.0007","0.39","NaN"`+"\n"+
			`"unet_1763016794","","finished","-","ada","","2025-11-13T06:53:08.000Z","2722","1wfh","0.0001","","unet","1",`+
			`"0.0009","0.41","0.5"`+"\n"+
			`"unet_1763016795","","failed","-","ada","","2025-11-13T06:54:08.000Z","12","1wfh","0.0001","","unet","2",`+
			`"","",""`+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := table.wandb(Mapping{Columns: map[string]string{"variant": "model_type"}, Params: []string{"lr"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Runs) != 2 || s.Runs[1].Name != "unet_1763016794" || s.Runs[1].Variant != "unet" || s.Runs[1].Seed != 1 {
		t.Fatalf("%+v", s.Runs)
	}
	if got := strings.Join(s.Metrics(), " "); got != "Runtime eval/mse_mean train_loss val_loss" {
		t.Errorf("metrics are %s", got)
	}
	if p := s.Runs[1].Params; len(p) != 1 || p["lr"] != json.Number("0.0001") {
		t.Errorf("params are %v: when and by whom a run was made is none", p)
	}
	if len(s.Left) != 1 || s.Left[0] != "runs.csv:4: its state is failed" {
		t.Errorf("left out: %q", s.Left)
	}
}

// A chart's first column holds the values of its axis: steps, epochs, a metric or a time. If it does not hold steps,
// each run has its own column of steps.
func TestChartsOfWandB(t *testing.T) {
	const alone = `"Step","a-1 - val/loss","a-1 - val/loss__MIN","a-1 - val/loss__MAX"` + "\n"
	const columns = `,"a-1 - _step","a-1 - _step__MIN","a-1 - _step__MAX","a-1 - val/loss","a-1 - val/loss__MIN",` +
		`"a-1 - val/loss__MAX"` + "\n"
	for name, c := range map[string]struct {
		text        string
		step, epoch int
	}{
		"step":           {alone + "10,2,2,2\n20,1,1,1\n", 20, 2},
		"global step":    {`"trainer/global_step"` + columns + "5,10,10,10,2,2,2\n7,20,20,20,1,1,1\n", 7, 2},
		"epoch":          {"epoch" + columns + "5,10,10,10,2,2,2\n6,20,20,20,1,1,1\n", 20, 6},
		"half an epoch":  {`"train/epoch"` + columns + "0.5,10,10,10,2,2,2\n1,20,20,20,1,1,1\n", 20, 2},
		"time":           {`"Relative Time (Process)"` + columns + "3.5,10,10,10,2,2,2\n7,20,20,20,1,1,1\n", 20, 2},
		"a gap":          {"epoch" + columns + "5,10,10,10,2,2,2\n6,15,15,15,,,\n7,20,20,20,1,1,1\n", 20, 7},
		"time and order": {`"Relative Time (Wall)","a-1 - val/loss"` + "\n3.5,2\n7.1,1\n", 2, 2},
	} {
		table, err := parseTable(name, strings.NewReader(c.text))
		if err != nil {
			t.Fatal(name, err)
		}
		s, err := table.wandb(Mapping{Pattern: "{variant}-{seed}"})
		if err != nil {
			t.Fatal(name, err)
		}
		log := s.Runs[0].Metrics
		last := log[len(log)-1]
		if len(log) != 2 || last.Name != "val/loss" || last.Value != 1 || last.Step != int64(c.step) ||
			last.Epoch != c.epoch {
			t.Errorf("%s: %+v, want step %d, epoch %d", name, log, c.step, c.epoch)
		}
	}
}

// A grouped chart holds means: comparing them would leave one seed.
func TestGroupedChartOfWandB(t *testing.T) {
	table, err := parseTable("chart.csv", strings.NewReader(
		`"Step","Group: a-1 - loss","Group: a-1 - loss__MIN","Group: a-1 - loss__MAX"`+"\n1,2,1,3\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = table.wandb(Mapping{Pattern: "{variant}-{seed}"})
	if !errors.Is(err, ErrAmbiguous) || !strings.Contains(err.Error(), "chart.csv:1: ") ||
		!strings.Contains(err.Error(), "export the chart without grouping") {
		t.Error(err)
	}
}

func FuzzTable(f *testing.F) {
	f.Add("variant,seed,metric,value\na,1,accuracy,0.5\n", "variant")
	f.Add("model;seed;x\na;1;2\n", "model")
	f.Add("Step,a-1 - loss\n1,2\n", "Step")
	f.Fuzz(func(t *testing.T, text, column string) {
		table, err := parseTable("t.csv", strings.NewReader(text))
		if err != nil {
			return
		}
		if copied, err := parseTable("t.csv", strings.NewReader(text)); err == nil {
			copied.wandb(Mapping{Columns: map[string]string{"variant": column}, Pattern: "{variant}-{seed}"})
		}
		s, err := table.source("csv", Mapping{Columns: map[string]string{"variant": column}})
		if err != nil {
			return
		}
		for _, r := range s.Runs {
			if r.Variant == "" || len(r.Where) == 0 {
				t.Errorf("%+v of %q", r, text)
			}
		}
	})
}

// writeEvents writes an event file of one tag, as PyTorch's SummaryWriter does.
func writeEvents(t *testing.T, dir, tag string, values ...float32) {
	t.Helper()
	var file []byte
	for i, v := range values {
		value := protobuf.Message{}.String(1, tag).Float(2, v)
		file = tfevents.Append(file, protobuf.Message{}.Int(2, int64(i)).Bytes(5, protobuf.Message{}.Bytes(1, value)))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "events.out.tfevents.1700000000.host"), file, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTensorBoard(t *testing.T) {
	dir := t.TempDir()
	writeEvents(t, filepath.Join(dir, "wide", "seed-1"), "loss", 3, 2, 1)
	writeEvents(t, filepath.Join(dir, "wide", "seed-1", "validation"), "loss", 4)
	writeEvents(t, filepath.Join(dir, "narrow", "seed-1"), "loss", 5)
	writeEvents(t, filepath.Join(dir, "scratch"), "loss", 6)
	s, err := TensorBoard(dir, "{variant}/seed-{seed}")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Runs) != 2 || len(s.Left) != 1 || !strings.Contains(s.Left[0], "scratch") {
		t.Fatalf("%+v, left out %v", s.Runs, s.Left)
	}
	for _, r := range s.Runs {
		if r.Variant != "wide" {
			continue
		}
		m := r.Metrics
		if len(m) != 4 || m[2].Value != 1 || m[2].Epoch != 3 || m[3].Name != "validation/loss" {
			t.Errorf("%+v", m)
		}
	}
	writeEvents(t, filepath.Join(dir, "x", "wide", "seed-1"), "loss", 7)
	if _, err := TensorBoard(dir, "*/{variant}/seed-{seed}"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"{variant}", "{variant}/{variant}/{seed}", "seed"} {
		if _, err := TensorBoard(dir, bad); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("pattern %s: %v", bad, err)
		}
	}
}

func TestMLflowRuns(t *testing.T) {
	q := mlflow.Query{Variant: "tags.variant", Seed: "params.seed"}
	loss := []experiments.Metric{{Name: "loss", Step: 0, Value: 2}, {Name: "loss", Step: 1, Value: 1}}
	run := func(variant, seed string) mlflow.StoredRun {
		return mlflow.StoredRun{
			ID: variant + seed, Status: "FINISHED", Metrics: loss,
			Tags: map[string]string{"variant": variant}, Params: map[string]string{"seed": seed, "lr": "0.1", "opt": "sgd"},
		}
	}
	running := run("a", "9")
	running.Status = "RUNNING"
	s, err := MLflow("http://host", q, []mlflow.StoredRun{run("a", "1"), run("b", "1"), running})
	if err != nil || len(s.Runs) != 2 || len(s.Left) != 1 || s.Runs[0].Metrics[1].Epoch != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, seed := s.Runs[0].Params["seed"]; seed {
		t.Error("the seed is among the params")
	}
	for name, runs := range map[string][]mlflow.StoredRun{
		"twice": {run("a", "1"), run("a", "1")}, "no seed": {run("a", "")}, "no variant": {run("", "1")}, "none": nil,
		"case": {run("a", "1"), run("A", "1")},
	} {
		if _, err := MLflow("http://host", q, runs); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

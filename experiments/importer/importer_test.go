package importer

import (
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

func FuzzTable(f *testing.F) {
	f.Add("variant,seed,metric,value\na,1,accuracy,0.5\n", "variant")
	f.Add("model;seed;x\na;1;2\n", "model")
	f.Add("Step,a-1 - loss\n1,2\n", "Step")
	f.Fuzz(func(t *testing.T, text, column string) {
		table, err := parseTable("t.csv", strings.NewReader(text))
		if err != nil {
			return
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

package export_test

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"go.yaml.in/yaml/v3"

	"ablate/arch"
	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/tensorboard"
)

// recorded makes a run of a study in the form that ablate run leaves behind.
func recorded(t *testing.T, store *experiments.Store, variant string, seed uint64, recipe string, values ...float64) {
	t.Helper()
	run, err := store.Start(experiments.Record{
		Study: "s", Variant: variant, Seed: seed, Identity: variant, Recipe: json.RawMessage(recipe),
		Attempts: []experiments.Attempt{{Device: "cpu"}},
	}, experiments.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		m := experiments.Metric{Epoch: i + 1, Step: int64(10 * (i + 1)), Name: "test_loss", Value: experiments.Number(v),
			Seconds: float64(i)}
		if err := run.Log(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.SavePredictions([]experiments.Prediction{{Index: 0, Label: 1, Predicted: 2, Rank: 3,
		LogProb: math.Inf(-1)}}); err != nil {
		t.Fatal(err)
	}
	result := &experiments.Result{Epochs: len(values), Top1Error: 1, TestExamples: 1}
	if err := run.Finish(experiments.Done, result, nil); err != nil {
		t.Fatal(err)
	}
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
}

const plain = `{"net": {"net": "n", "layers": [{"conv": {"name": "conv1", "filters": 8}}, {"relu": {"name": "relu1"}}]}, "train": {"lr": 0.1, "schedule": {"at": [3, 5]}}}`

func study(t *testing.T) (*experiments.Store, []export.Run) {
	t.Helper()
	store := &experiments.Store{Root: t.TempDir()}
	recorded(t, store, "baseline", 1, plain, 2.5, math.NaN())
	recorded(t, store, "tanh", 1, strings.Replace(plain, `"relu": {"name": "relu1"}`, `"tanh": {"name": "relu1", "a": 2}`,
		1), 1, math.Inf(1))
	runs, problems := export.Runs(store, "s")
	if len(problems) > 0 || len(runs) != 2 {
		t.Fatal(runs, problems)
	}
	return store, runs
}

// A recipe becomes plain keys: layers are keyed by name, other lists by position.
func TestFlatten(t *testing.T) {
	got, err := export.Flatten(json.RawMessage(plain))
	want := map[string]any{
		"net.net": "n", "net.layers.conv1": "conv", "net.layers.conv1.filters": 8.0, "net.layers.relu1": "relu",
		"train.lr": 0.1, "train.schedule.at.0": 3.0, "train.schedule.at.1": 5.0,
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(err, d)
	}
	if _, err := export.Flatten(json.RawMessage("{")); err == nil {
		t.Error("half a recipe was taken")
	}
}

func TestTables(t *testing.T) {
	store, runs := study(t)
	table := func(write func(*bytes.Buffer) error) [][]string {
		t.Helper()
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	rows := table(func(b *bytes.Buffer) error { return export.RunTable(runs).WriteCSV(b) })
	kind, a := slices.Index(rows[0], "net.layers.relu1"), slices.Index(rows[0], "net.layers.relu1.a")
	if kind < 0 || rows[1][kind] != "relu" || rows[2][kind] != "tanh" || rows[1][a] != "" || rows[2][a] != "2" {
		t.Errorf("runs: %q", rows)
	}
	if slices.Contains(rows[0], "train.lr") {
		t.Error("a key that does not differ has a column")
	}
	rows = table(func(b *bytes.Buffer) error { return export.MetricTable(runs).WriteCSV(b) })
	var values []string
	for _, r := range rows[1:] {
		values = append(values, r[7])
	}
	if want := []string{"2.5", "NaN", "1", "+Inf"}; !slices.Equal(values, want) {
		t.Errorf("values %q, want %q", values, want)
	}
	rows = table(func(b *bytes.Buffer) error { return export.PredictionTable(store, runs).WriteCSV(b) })
	if len(rows) != 3 || strings.Join(rows[1], " ") != "s baseline 1 0 1 2 3 -Inf" {
		t.Errorf("predictions: %q", rows)
	}
}

// frames takes an event file apart and checks its checksums.
func frames(t *testing.T, file string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	masked := func(b []byte) uint32 {
		c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
		return (c>>15 | c<<17) + 0xa282ead8
	}
	var all [][]byte
	for len(text) > 0 {
		n := int(binary.LittleEndian.Uint64(text))
		if got := binary.LittleEndian.Uint32(text[8:]); got != masked(text[:8]) {
			t.Fatalf("checksum of a length: %x", got)
		}
		data := text[12:][:n]
		if got := binary.LittleEndian.Uint32(text[12+n:]); got != masked(data) {
			t.Fatalf("checksum of an event: %x", got)
		}
		all, text = append(all, data), text[16+n:]
	}
	return all
}

// Later measurements are appended, and existing ones are neither repeated nor changed.
func TestEventFilesGrow(t *testing.T) {
	_, runs := study(t)
	runs = runs[:1]
	dir := t.TempDir()
	whole := runs[0]
	var before []byte
	for n := range len(whole.Metrics) + 1 {
		runs[0].Metrics = whole.Metrics[:n]
		runs[0].Attempts = []experiments.Attempt{{Started: whole.Attempts[0].Started}}
		if n == len(whole.Metrics) {
			runs[0].Attempts[0].Ended = whole.Attempts[0].Started.Add(time.Second)
		}
		for range 2 {
			study := export.Study{Name: "s", Runs: runs, Keys: export.Varying(runs)}
			if err := tensorboard.New(dir).Sync(t.Context(), study); err != nil {
				t.Fatal(err)
			}
		}
		files, _ := filepath.Glob(filepath.Join(dir, "baseline", "seed-1", "events.out.tfevents.*"))
		if len(files) != 1 {
			t.Fatalf("files %q", files)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, before) {
			t.Fatalf("with %d measurements the file does not begin as before", n)
		}
		before = text
		want := 2 + n // version, hyperparameters
		if n == len(whole.Metrics) {
			want++ // the session's end
		}
		if got := len(frames(t, files[0])); got != want {
			t.Fatalf("%d events for %d measurements, want %d", got, n, want)
		}
	}
}

// Weights are reordered to the layouts of PyTorch and ONNX.
func TestLayouts(t *testing.T) {
	// [kernel² = 1, in 2, out 3]: value 10·in + out.
	if got := export.OIHW([]float32{0, 1, 2, 10, 11, 12}, 1, 2, 3); !slices.Equal(got, []float32{0, 10, 1, 11, 2, 12}) {
		t.Error(got)
	}
	// One output, pixels of a 1×2 image with 2 channels: value 10·pixel + channel.
	if got := export.OutIn([]float32{0, 1, 10, 11}, arch.Shape{Height: 1, Width: 2, Channels: 2}, 1); !slices.Equal(got,
		[]float32{0, 10, 1, 11}) {
		t.Error(got)
	}
	w := export.Weights{"a": {Name: "a", Shape: []int{2}, Data: []float32{1, 2}}}
	if _, err := w.Take("a", 3); err == nil || !strings.Contains(err.Error(), "a has shape [2]") {
		t.Error(err)
	}
	if _, err := w.Take("b", 1); err == nil || !strings.Contains(err.Error(), "no b") {
		t.Error(err)
	}
}

// The mean image is cut to the crop that the net sees.
func TestCentreMean(t *testing.T) {
	m := export.Images{Shape: arch.Shape{Height: 4, Width: 5, Channels: 1}}
	for i := range m.Shape.Len() {
		m.Mean = append(m.Mean, float32(i))
	}
	net := arch.Shape{Height: 2, Width: 3, Channels: 1}
	if got, want := m.CentreMean(net), []float32{6, 7, 8, 11, 12, 13}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A table read from Parquet equals the table written, in the order of the columns. Equal tables make equal bytes.
func TestParquet(t *testing.T) {
	store, runs := study(t)
	for name, table := range map[string]export.Table{
		"runs": export.RunTable(runs), "metrics": export.MetricTable(runs),
		"predictions": export.PredictionTable(store, runs),
	} {
		var b, again bytes.Buffer
		if err := errors.Join(table.WriteParquet(&b), table.WriteParquet(&again)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s: written twice, the bytes differ", name)
		}
		f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range f.Schema().Fields() {
			names = append(names, c.Name())
		}
		r := parquet.NewReader(f)
		for want, err := range table.Rows {
			if err != nil {
				t.Fatal(err)
			}
			row := make([]parquet.Row, 1)
			if n, err := r.ReadRows(row); n != 1 && err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i, c := range table.Columns {
				if names[i] != c.Name {
					t.Errorf("%s: column %d is %s, want %s", name, i, names[i], c.Name)
				}
				if got, want := shown(row[0][i]), shownAs(want[i]); got != want {
					t.Errorf("%s: %s is %s, want %s", name, c.Name, got, want)
				}
			}
		}
	}
}

func shown(v parquet.Value) string {
	switch v.Kind() {
	case parquet.ByteArray:
		return string(v.ByteArray())
	case parquet.Double:
		return fmt.Sprint(v.Double())
	case parquet.Int64:
		return fmt.Sprint(v.Int64())
	}
	return v.String()
}

func shownAs(v any) string {
	switch v := v.(type) {
	case nil:
		return "<null>"
	case time.Time:
		return fmt.Sprint(v.UnixMicro())
	}
	return fmt.Sprint(v)
}

// A card needs a finished run, and no name breaks out of the card's table.
func TestModelCard(t *testing.T) {
	_, runs := study(t)
	r := runs[1]
	r.Keys = map[string]any{"net.net": "n", "data.name": "cifar10: {x}"}
	r.Changes = []string{"a | b <script>"}
	card, err := export.ModelCard(r)
	if err != nil {
		t.Fatal(err)
	}
	front, body, ok := strings.Cut(strings.TrimPrefix(string(card), "---\n"), "\n---\n")
	var data struct {
		Index []struct {
			Results []struct {
				Dataset struct{ Name string }
				Metrics []struct{ Value float64 }
			}
		} `yaml:"model-index"`
	}
	if err := yaml.Unmarshal([]byte(front), &data); err != nil || !ok {
		t.Fatal(err, string(card))
	}
	got := data.Index[0].Results[0]
	if got.Dataset.Name != "cifar10: {x}" || got.Metrics[0].Value != 0 { // all wrong
		t.Errorf("%+v", got)
	}
	if !strings.Contains(body, `a \| b &lt;script>`) {
		t.Error(body)
	}
	r.Status = experiments.Failed
	if _, err := export.ModelCard(r); !errors.Is(err, export.ErrNoResult) {
		t.Error(err)
	}
}

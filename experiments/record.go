// Package experiments keeps the records of runs: a plain folder for each run, which rsync can copy
// and cat can read.
package experiments

import (
	"encoding/json"
	"math"
	"time"
)

// FormatVersion is the version of the files that are written into a run's folder; earlier versions
// can be read.
const FormatVersion = 2

// Status is the state of a run.
type Status string

const (
	Running     Status = "running"
	Done        Status = "done"
	Diverged    Status = "diverged"    // the loss became NaN or infinite
	Failed      Status = "failed"      // an error ended it
	Interrupted Status = "interrupted" // Ctrl-C or SIGTERM
)

// Final reports whether nothing remains to be trained.
func (s Status) Final() bool { return s == Done || s == Diverged }

// A Record is run.json: what was run, on what, and how it ended.
type Record struct {
	Version   int             `json:"version"`
	Study     string          `json:"study"`
	Variant   string          `json:"variant"`
	Seed      uint64          `json:"seed"`
	Identity  string          `json:"identity"`            // SHA-256 of the recipe without what cannot change the result
	Recipe    json.RawMessage `json:"recipe"`              // resolved and frozen
	Ablations []string        `json:"ablations,omitempty"` // the catalogue's ablations that made the variant
	Edited    bool            `json:"edited,omitempty"`    // the study's own edits were added to Ablations
	Changes   []string        `json:"changes"`             // how it differs from the baseline, in words: "− norm1, norm2"
	Params    int64           `json:"params"`
	MACs      int64           `json:"macs"` // forward, per image

	Status     Status      `json:"status"`
	Error      string      `json:"error,omitempty"` // why it failed or diverged, one line
	Attempts   []Attempt   `json:"attempts"`
	FirstSteps []string    `json:"first_steps,omitempty"` // SHA-256 of the weights after step 1, 2 …, for ablate verify
	Result     *Result     `json:"result,omitempty"`
	Provenance *Provenance `json:"provenance"`
	// Imported describes the origin of figures that ablate did not record itself; it is nil for its
	// own runs.
	Imported *Import `json:"imported,omitempty"`
}

// An Import describes the origin of an imported run.
type Import struct {
	From   string `json:"from"`          // csv, mlflow, tensorboard, wandb-csv
	Source string `json:"source"`        // the file, folder or server
	Run    string `json:"run,omitempty"` // its name there
	SHA256 string `json:"sha256"`        // of the figures, to recognise a repeated import
}

// An Attempt is the part of a run that one process trained.
type Attempt struct {
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	PID      int       `json:"pid"`
	Host     string    `json:"host"`
	Device   string    `json:"device"`   // cpu, cuda:0 …
	Hardware string    `json:"hardware"` // device, CPU or GPU model, threads, kernels; speeds are only compared if equal
	Threads  int       `json:"threads"`
	Commit   string    `json:"commit,omitempty"` // of the program: a later attempt may come from another
	From     int64     `json:"from"`             // step of the checkpoint it continued from, 0 if there was none
	Usage    *Usage    `json:"usage,omitempty"`  // what it used of the machine; absent if it was killed
}

// A Result holds the results of a finished run.
type Result struct {
	Epochs       int    `json:"epochs"`
	TrainLoss    Number `json:"train_loss"`
	TestLoss     Number `json:"test_loss"`
	Top1Error    Number `json:"top1_error"` // share of the test images, 0..1, after the last epoch
	Top5Error    Number `json:"top5_error"`
	TestExamples int    `json:"test_examples"`
	// ImagesPerSecond is the training speed of the last attempt without warm-up, and 0 if no step
	// remains. It is the only part that differs when the same run is repeated.
	ImagesPerSecond Number `json:"images_per_second"`
	// BytesMoved is how many bytes a training step of the last attempt moved between devices; it is
	// absent for one device.
	BytesMoved    int64  `json:"bytes_moved,omitempty"`
	WeightsSHA256 string `json:"weights_sha256"` // Digest of the parameters in weights.safetensors
	// Metrics holds the last values that a user's program measured, or that were imported; it is
	// nil for runs that ablate trained. If it is not nil, run.json holds only Metrics and the
	// epochs.
	Metrics map[string]Number `json:"metrics,omitempty"`
}

// Measured returns the result of a run that another program trained. It has only that program's
// figures; what ablate would have measured is NaN.
func Measured(epochs, testExamples int, metrics map[string]Number) *Result {
	nan := Number(math.NaN())
	speed, ok := metrics["images_per_second"]
	if !ok {
		speed = nan
	}
	return &Result{
		Epochs: epochs, TestExamples: testExamples, Metrics: metrics, ImagesPerSecond: speed,
		TrainLoss: nan, TestLoss: nan, Top1Error: nan, Top5Error: nan,
	}
}

// measured is the JSON form of the result of another program's run.
type measured struct {
	Epochs       int               `json:"epochs,omitempty"`
	TestExamples int               `json:"test_examples,omitempty"`
	Metrics      map[string]Number `json:"metrics"`
}

// MarshalJSON leaves out what only ablate's own trainer measures, if another program trained.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result
	if r.Metrics == nil {
		return json.Marshal(plain(r))
	}
	return json.Marshal(measured{r.Epochs, r.TestExamples, r.Metrics})
}

// UnmarshalJSON reads either form.
func (r *Result) UnmarshalJSON(text []byte) error {
	type plain Result
	if err := json.Unmarshal(text, (*plain)(r)); err != nil || r.Metrics == nil {
		return err
	}
	*r = *Measured(r.Epochs, r.TestExamples, r.Metrics)
	return nil
}

// A Metric is one line of metrics.jsonl.
type Metric struct {
	Attempt int     `json:"attempt"`
	Epoch   int     `json:"epoch"` // epochs completed
	Step    int64   `json:"step"`
	Name    string  `json:"name"` // lr, train_loss, test_top1_error …: FORMAT.md lists them
	Value   Number  `json:"value"`
	Seconds float64 `json:"seconds"` // of training, since the attempt began
}

// A Prediction is one line of predictions.csv.
type Prediction struct {
	Index     int // in the test split
	Label     int
	Predicted int
	Rank      int     // of the label among the classes by score, 1 is best
	LogProb   float64 // of the label
}

// Package experiments keeps the record of runs: one plain folder for each run, which
// rsync can copy and cat can read.
package experiments

import (
	"encoding/json"
	"math"
	"time"
)

// FormatVersion is the version of the files in a run's folder that are written; earlier ones are read.
const FormatVersion = 2

// Status is where a run stands.
type Status string

const (
	Running     Status = "running"
	Done        Status = "done"
	Diverged    Status = "diverged"    // the loss became NaN or infinite
	Failed      Status = "failed"      // an error ended it
	Interrupted Status = "interrupted" // Ctrl-C or SIGTERM
)

// Final reports whether nothing is left to train.
func (s Status) Final() bool { return s == Done || s == Diverged }

// A Record is run.json: what was run, how it ended, and on what.
type Record struct {
	Version   int             `json:"version"`
	Study     string          `json:"study"`
	Variant   string          `json:"variant"`
	Seed      uint64          `json:"seed"`
	Identity  string          `json:"identity"`            // sha256 of the recipe without what cannot change the result
	Recipe    json.RawMessage `json:"recipe"`              // resolved and frozen
	Ablations []string        `json:"ablations,omitempty"` // of the catalogue that made the variant
	Edited    bool            `json:"edited,omitempty"`    // edits of the study's own came on top of Ablations
	Changes   []string        `json:"changes"`             // what differs from the baseline, in words: "− norm1, norm2"
	Params    int64           `json:"params"`
	MACs      int64           `json:"macs"` // forward, per image

	Status     Status      `json:"status"`
	Error      string      `json:"error,omitempty"` // why it failed or diverged, one line
	Attempts   []Attempt   `json:"attempts"`
	FirstSteps []string    `json:"first_steps,omitempty"` // SHA-256 of the weights after step 1, 2 …, for ablate verify
	Result     *Result     `json:"result,omitempty"`
	Provenance *Provenance `json:"provenance"`
	// Imported says where the figures come from that ablate did not record itself; nil for its own runs.
	Imported *Import `json:"imported,omitempty"`
}

// An Import is where the figures of a run that was imported come from.
type Import struct {
	From   string `json:"from"`          // csv, mlflow, tensorboard, wandb-csv
	Source string `json:"source"`        // the file, folder or server
	Run    string `json:"run,omitempty"` // its name there
	SHA256 string `json:"sha256"`        // of the figures: the same again changes nothing
}

// An Attempt is what one process trained of a run.
type Attempt struct {
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	PID      int       `json:"pid"`
	Host     string    `json:"host"`
	Device   string    `json:"device"`   // cpu, cuda:0 …
	Hardware string    `json:"hardware"` // the key speeds are compared under: device, CPU or GPU model, threads, kernels
	Threads  int       `json:"threads"`
	Commit   string    `json:"commit,omitempty"` // of the program: a later attempt may come from another
	From     int64     `json:"from"`             // step of the checkpoint it continued from, 0 if there was none
	Usage    *Usage    `json:"usage,omitempty"`  // what it took of the machine; absent if it was killed
}

// A Result is what a finished run came to.
type Result struct {
	Epochs       int    `json:"epochs"`
	TrainLoss    Number `json:"train_loss"`
	TestLoss     Number `json:"test_loss"`
	Top1Error    Number `json:"top1_error"` // share of the test images, 0..1, at the last epoch
	Top5Error    Number `json:"top5_error"`
	TestExamples int    `json:"test_examples"`
	// ImagesPerSecond is the speed of training in the last attempt without warm-up, 0 if no step is left without it. It
	// alone changes from time to time.
	ImagesPerSecond Number `json:"images_per_second"`
	// BytesMoved is what a training step of the last attempt moved from device to device; absent on one device.
	BytesMoved    int64  `json:"bytes_moved,omitempty"`
	WeightsSHA256 string `json:"weights_sha256"` // Digest of the parameters in weights.safetensors
	// Metrics are the last values of what a program of the user's measured, or of what was imported; nil for runs that
	// ablate trained. Where they are there, they and the epochs are all that run.json holds.
	Metrics map[string]Number `json:"metrics,omitempty"`
}

// Measured is the result of a run that another program trained. Its own figures are all there is: what
// ablate would have measured is no number.
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

// measured is how the result of another program's run is written.
type measured struct {
	Epochs       int               `json:"epochs,omitempty"`
	TestExamples int               `json:"test_examples,omitempty"`
	Metrics      map[string]Number `json:"metrics"`
}

// MarshalJSON leaves out what only ablate measures where another program trained.
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
	LogProb   float64 // the label's
}

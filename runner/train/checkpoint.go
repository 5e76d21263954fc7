package train

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ablate/configs"
	"ablate/experiments"
)

// counters are what an unfinished run needs besides the weights and the optimiser's state. The
// order of the images, the crops, the flips and the dropout masks are functions of seed, epoch and
// step, so none of them is stored.
type counters struct {
	Epochs   int           `json:"epochs"` // completed
	Batch    int           `json:"batch"`  // trained batches of the next epoch
	Sum      storedScore   `json:"sum"`    // over the images of the next epoch so far
	Since    *storedScore  `json:"since_measured,omitempty"`
	Schedule scheduleState `json:"schedule"`
	Patience *patience     `json:"early_stopping,omitempty"` // nil without early stopping
}

// storedScore is a Score as a checkpoint holds it.
type storedScore struct {
	N      int                `json:"n"`
	Wrong1 int                `json:"wrong1"`
	Wrong5 int                `json:"wrong5"`
	Loss   experiments.Number `json:"loss"`
}

func stored(s Score) storedScore {
	return storedScore{N: s.Images, Wrong1: s.Wrong1, Wrong5: s.Wrong5, Loss: experiments.Number(s.LossSum)}
}

func (s storedScore) score() Score {
	return Score{Images: s.N, Wrong1: s.Wrong1, Wrong5: s.Wrong5, LossSum: float64(s.Loss)}
}

// checkpoint returns the trainer's state in the form of a checkpoint.
func (t *Trainer) checkpoint() (experiments.Checkpoint, error) {
	c := experiments.Checkpoint{Step: int64(t.step), Logged: t.logged}
	sum := stored(t.running)
	var err error
	count := counters{Epochs: t.epoch, Batch: t.batch, Sum: sum, Schedule: t.rates.weights.state()}
	if t.since != t.running { // measured within the epoch, or not measured yet
		since := stored(t.since)
		count.Since = &since
	}
	if t.recipe.Train.EarlyStopping > 0 {
		count.Patience = &t.patience
	}
	c.Counters, err = json.Marshal(count)
	if err != nil {
		return c, err
	}
	if c.Tensors, err = t.weights(); err != nil {
		return c, err
	}
	params := t.model.Params
	for _, state := range params.Rule().State() {
		for _, name := range params.Names() {
			v, err := params.State(state, name)
			if err != nil {
				return c, err
			}
			c.Tensors = append(c.Tensors, experiments.Tensor{
				Name: name + "." + state, Shape: params.Shape(name), Data: v,
			})
		}
	}
	if params.Rule().EMA == 0 {
		return c, nil
	}
	for _, x := range c.Tensors[:len(params.Names())] {
		if x.Data, err = params.Averaged().Weights(x.Name); err != nil {
			return c, err
		}
		x.Name += averageSuffix
		c.Tensors = append(c.Tensors, x)
	}
	return c, nil
}

// averageSuffix ends the name of an average of weights in a checkpoint.
const averageSuffix = ".ema"

// resume sets the trainer to the state of the run's newest checkpoint, if there is one.
func (t *Trainer) resume(rec *experiments.Recorder) error {
	c, err := rec.LatestCheckpoint()
	if err != nil || c == nil {
		return err
	}
	if err := t.restore(c); err != nil {
		return fmt.Errorf("resume from step %d: %w", c.Step, err)
	}
	return nil
}

func (t *Trainer) restore(from *experiments.Checkpoint) error {
	var c counters
	if err := json.Unmarshal(from.Counters, &c); err != nil {
		return err
	}
	params := t.model.Params
	states := params.Rule().State()
	want := (1 + len(states)) * len(params.Names())
	if params.Rule().EMA > 0 {
		want += len(params.Names())
	}
	if len(from.Tensors) != want {
		return fmt.Errorf("the checkpoint holds %d tensors, the net has %d", len(from.Tensors), want)
	}
	for _, x := range from.Tensors {
		set, name := params.SetWeights, x.Name
		if params.Rule().EMA > 0 && strings.HasSuffix(name, averageSuffix) {
			set, name = params.Averaged().SetWeights, strings.TrimSuffix(name, averageSuffix)
		} else if at := strings.LastIndexByte(x.Name, '.'); at >= 0 && slices.Contains(states, x.Name[at+1:]) {
			name = x.Name[:at]
			set = func(name string, values []float32) error { return params.SetState(x.Name[at+1:], name, values) }
		}
		if err := set(name, x.Data); err != nil {
			return err
		}
	}
	t.position = position{
		epoch: c.Epochs, batch: c.Batch, step: uint64(from.Step), logged: from.Logged,
		running: c.Sum.score(),
	}
	t.since = t.running
	if c.Since != nil {
		t.since = c.Since.score()
	}
	if c.Patience != nil {
		t.patience = *c.Patience
	}
	t.rates.weights.restore(c.Schedule)
	return nil
}

// FirstSteps is the number of first steps after which a run's record has a digest of the weights.
const FirstSteps = 3

// A checkpointer writes a trainer's checkpoints when they are due.
type checkpointer struct {
	rec   *experiments.Recorder
	t     *Trainer
	every configs.Interval
	last  time.Time
	saved position
}

func newCheckpointer(rec *experiments.Recorder, t *Trainer, every configs.Interval) *checkpointer {
	return &checkpointer{rec: rec, t: t, every: every, last: time.Now(), saved: t.position}
}

// afterStep is called after every step.
func (c *checkpointer) afterStep() error {
	if c.t.step <= FirstSteps {
		digest, err := c.t.digest()
		if err != nil {
			return err
		}
		if err := c.rec.LogFirstStep(int(c.t.step), digest); err != nil {
			return err
		}
	}
	due := c.every.Time > 0 && time.Since(c.last) >= c.every.Time ||
		c.every.Steps > 0 && c.t.step%uint64(c.every.Steps) == 0
	if !due {
		return nil
	}
	return c.save()
}

// afterEpoch is called between epochs.
func (c *checkpointer) afterEpoch() error {
	if c.every.Epochs == 0 || c.t.epoch%c.every.Epochs != 0 {
		return nil
	}
	return c.save()
}

// save writes a checkpoint, unless the last one has the same position.
func (c *checkpointer) save() error {
	if c.t.epoch == c.saved.epoch && c.t.step == c.saved.step {
		return nil
	}
	checkpoint, err := c.t.checkpoint()
	if err != nil {
		return err
	}
	if err := c.rec.SaveCheckpoint(checkpoint); err != nil {
		return err
	}
	c.saved, c.last = c.t.position, time.Now()
	return nil
}

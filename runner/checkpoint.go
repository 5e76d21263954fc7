package runner

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ablate/configs"
	"ablate/experiments"
)

// counters are what an unfinished run needs besides weights and momentum. The
// order of the images, crops, flips and dropout masks are functions of seed,
// epoch and step, so nothing of them is kept.
type counters struct {
	Epochs   int      `json:"epochs"` // completed
	Batch    int      `json:"batch"`  // trained of the next one
	Sum      partial  `json:"sum"`    // of the next one's images so far
	Schedule progress `json:"schedule"`
}

// partial is a score as a checkpoint holds it.
type partial struct {
	N      int                `json:"n"`
	Wrong1 int                `json:"wrong1"`
	Wrong5 int                `json:"wrong5"`
	Loss   experiments.Number `json:"loss"`
}

// velocitySuffix ends the name of a parameter's momentum in a checkpoint.
const velocitySuffix = ".velocity"

// checkpoint returns the trainer as a checkpoint holds it.
func (t *trainer) checkpoint() (experiments.Checkpoint, error) {
	s := experiments.Checkpoint{Step: int64(t.step), Logged: t.logged}
	var err error
	s.Counters, err = json.Marshal(counters{t.epochs, t.batch,
		partial{t.sum.n, t.sum.wrong1, t.sum.wrong5, experiments.Number(t.sum.loss)}, t.rates.weights.progress()})
	if err != nil {
		return s, err
	}
	if s.Tensors, err = t.weights(); err != nil {
		return s, err
	}
	for _, name := range t.params.Names() {
		v, err := t.params.Velocity(name)
		if err != nil {
			return s, err
		}
		s.Tensors = append(s.Tensors, experiments.Tensor{Name: name + velocitySuffix, Shape: t.params.Shape(name), Data: v})
	}
	return s, nil
}

// resume puts the trainer where the run's newest checkpoint stands, if it has one.
func (t *trainer) resume(run *experiments.Recorder) error {
	s, err := run.LatestCheckpoint()
	if err != nil || s == nil {
		return err
	}
	if err := t.restore(s); err != nil {
		return fmt.Errorf("go on from step %d: %w", s.Step, err)
	}
	return nil
}

func (t *trainer) restore(s *experiments.Checkpoint) error {
	var c counters
	if err := json.Unmarshal(s.Counters, &c); err != nil {
		return err
	}
	if want := 2 * len(t.params.Names()); len(s.Tensors) != want {
		return fmt.Errorf("the checkpoint holds %d tensors, the net has %d", len(s.Tensors), want)
	}
	for _, x := range s.Tensors {
		name, velocity := strings.CutSuffix(x.Name, velocitySuffix)
		set := t.params.SetWeights
		if velocity {
			set = t.params.SetVelocity
		}
		if err := set(name, x.Data); err != nil {
			return err
		}
	}
	t.epochs, t.batch, t.step, t.logged = c.Epochs, c.Batch, uint64(s.Step), s.Logged
	t.sum = score{n: c.Sum.N, wrong1: c.Sum.Wrong1, wrong5: c.Sum.Wrong5, loss: float64(c.Sum.Loss)}
	t.rates.weights.restore(c.Schedule)
	return nil
}

// firstSteps is how many of a run's first steps have their weights' digest in
// its record, for Verify.
const firstSteps = 3

// A saver writes a trainer's checkpoints when they are due.
type saver struct {
	run   *experiments.Recorder
	t     *trainer
	every configs.Interval
	last  time.Time
	saved position
}

// A position is where a checkpoint stands.
type position struct {
	epochs int
	step   uint64
}

func newSaver(run *experiments.Recorder, t *trainer, every configs.Interval) *saver {
	return &saver{run, t, every, time.Now(), position{t.epochs, t.step}}
}

// step is called after every step.
func (s *saver) step() error {
	if s.t.step <= firstSteps {
		digest, err := s.t.digest()
		if err != nil {
			return err
		}
		if err := s.run.LogFirstStep(int(s.t.step), digest); err != nil {
			return err
		}
	}
	due := s.every.Time > 0 && time.Since(s.last) >= s.every.Time ||
		s.every.Steps > 0 && s.t.step%uint64(s.every.Steps) == 0
	if !due {
		return nil
	}
	return s.save()
}

// epoch is called between epochs.
func (s *saver) epoch() error {
	if s.every.Epochs == 0 || s.t.epochs%s.every.Epochs != 0 {
		return nil
	}
	return s.save()
}

// save writes a checkpoint, unless the last one stands here.
func (s *saver) save() error {
	here := position{s.t.epochs, s.t.step}
	if here == s.saved {
		return nil
	}
	c, err := s.t.checkpoint()
	if err != nil {
		return err
	}
	if err := s.run.SaveCheckpoint(c); err != nil {
		return err
	}
	s.saved, s.last = here, time.Now()
	return nil
}

// digest is the SHA-256 of the weights as they are now.
func (t *trainer) digest() (string, error) {
	weights, err := t.weights()
	if err != nil {
		return "", err
	}
	return experiments.Digest(weights)
}

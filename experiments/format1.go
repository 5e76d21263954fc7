package experiments

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// The names of format 1, in which a checkpoint was called a state, and the
// trained weights the checkpoint. What is done stays as it is and is read under
// these names; an unfinished run takes today's when it is continued.
const (
	weightsFile1      = "checkpoint.safetensors"
	checkpointPrefix1 = "state-"
	checkpointFormat1 = "ablate-state"
)

// adopt makes this run's the checkpoints of an attempt of the same recipe that
// wrote them under other names or, since it named the recipe's keys otherwise,
// for another identity. A process that is killed meanwhile leaves the old record
// with checkpoints of either kind, and the next attempt adopts what is left.
func (r *Recorder) adopt(old Record) error {
	list, err := checkpoints(r.dir)
	if err != nil {
		return err
	}
	for _, f := range list {
		if f.format == checkpointFormat && old.Identity == r.rec.Identity {
			continue
		}
		c, identity, err := f.read()
		if err != nil || identity != old.Identity || c.Step != f.step {
			continue // LatestCheckpoint says why it is not used
		}
		if _, err := r.writeCheckpoint(*c); err != nil {
			return err
		}
		if err := os.Remove(f.path); err != nil {
			return err
		}
	}
	// Weights of a process that was killed before it could record its end.
	if err := os.Remove(filepath.Join(r.dir, weightsFile1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

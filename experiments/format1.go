package experiments

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// The names of format 1, in which a checkpoint was called a state, and the trained weights were
// called the checkpoint. Finished runs stay as they are and are read under these names. An
// unfinished run gets the new names when it continues.
const (
	weightsFile1      = "checkpoint.safetensors"
	checkpointPrefix1 = "state-"
	checkpointFormat1 = "ablate-state"
)

// adopt makes the checkpoints of an earlier attempt usable for this run, if that attempt wrote them
// under old names or, because the recipe's keys had other names, for another identity. If the
// process is killed meanwhile, it leaves the old record with checkpoints of either kind, and the
// next attempt adopts the remaining ones.
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
			continue // LatestCheckpoint reports why it is not used
		}
		if _, err := r.writeCheckpoint(*c); err != nil {
			return err
		}
		if err := os.Remove(f.path); err != nil {
			return err
		}
	}
	// Weights from a process that was killed before it could record its end.
	if err := os.Remove(filepath.Join(r.dir, weightsFile1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package runner

import (
	"fmt"
	"path/filepath"

	"ablate/configs"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/train"
)

// checkInit refuses weights that a job cannot begin with. A finished run needs none.
func checkInit(j Job, o Options) error {
	rec, err := o.Store.Record(o.Study.Name, j.Variant.Name, j.Seed)
	if err == nil && rec.Status.Final() && !o.Fresh {
		return nil
	}
	if err := checkCycle(j, o.Store, o.Study.Name); err != nil {
		return err
	}
	return fitsInit(j.Variant)
}

// fitsInit refuses initial weights that do not exist or do not fit, and says where the study names
// them.
func fitsInit(v configs.Variant) error {
	if err := train.CheckInit(v.Recipe); err != nil {
		return fmt.Errorf("%s: %w", named(v), err)
	}
	return nil
}

// named returns a variant's name. The file and line that name its initial weights precede it, if
// the study's file exists.
func named(v configs.Variant) string {
	if v.InitAt == "" {
		return "variant " + v.Name
	}
	return v.InitAt + ": variant " + v.Name
}

// checkCycle refuses a run that begins with its own weights, directly or by way of other runs.
func checkCycle(j Job, store *experiments.Store, study string) error {
	own, err := store.FindFolder(fmt.Sprintf("%s/%s/%d", study, j.Variant.Name, j.Seed))
	if err != nil {
		return err
	}
	seen := map[string]bool{absolute(own): true}
	for from := j.Variant.Recipe.Train.Init.From; from != ""; {
		dir := from
		if filepath.Base(dir) == filepath.Base(experiments.WeightsPath(dir)) {
			dir = filepath.Dir(dir)
		}
		if dir = absolute(dir); seen[dir] {
			return fmt.Errorf("%s: train.init.from %s leads back to %s: a run cannot begin with its own weights",
				named(j.Variant), j.Variant.Recipe.Train.Init.From, dir)
		}
		seen[dir] = true
		rec, err := experiments.ReadRecord(dir)
		if err != nil {
			return nil // not a run's folder
		}
		r, err := recipe.Decode(rec.Recipe)
		if err != nil {
			return nil // a run of the user's own program
		}
		from = r.Train.Init.From
	}
	return nil
}

// absolute makes a path comparable with others.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

package runner

import (
	"context"
	"fmt"

	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/train"
)

// datasets holds data sets. Each is opened once and shared by the runs that see the same images.
type datasets struct {
	progress func(name string, done, total int) // for a data set that is being opened; may be nil
	opened   map[string]*data.Dataset
}

func (d *datasets) open(ctx context.Context, cfg recipe.Data) (*data.Dataset, error) {
	key := fmt.Sprintf("%q", []any{cfg.Name, cfg.Root, cfg.Classes, cfg.Train, cfg.Test, cfg.ShortSide, cfg.Size,
		cfg.MaxSkipped, cfg.Validation, cfg.ColourSpace})
	if ds, ok := d.opened[key]; ok {
		return ds, nil
	}
	var progress data.Progress
	if d.progress != nil {
		progress = func(done, total int) { d.progress(cfg.Name, done, total) }
	}
	ds, err := data.OpenTelling(ctx, cfg, progress)
	if err != nil {
		return nil, err
	}
	if d.opened == nil {
		d.opened = map[string]*data.Dataset{}
	}
	d.opened[key] = ds
	return ds, nil
}

// close closes the files that the data sets hold open. They are only read, so nothing can be lost.
func (d *datasets) close() {
	for _, ds := range d.opened {
		ds.Close()
	}
}

// check opens the data of every job and checks that net and batch fit it, before anything is
// written. Seeds do not matter here.
func (d *datasets) check(ctx context.Context, jobs []Job) error {
	seen := map[string]bool{}
	for _, j := range jobs {
		if seen[j.Variant.Name] {
			continue
		}
		seen[j.Variant.Name] = true
		ds, err := d.open(ctx, j.Variant.Recipe.Data)
		if err != nil {
			return err
		}
		if err := train.Check(ctx, j.Variant.Recipe, ds); err != nil {
			return fmt.Errorf("variant %s: %w", j.Variant.Name, err)
		}
	}
	return nil
}

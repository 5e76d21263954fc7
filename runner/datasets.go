package runner

import (
	"context"
	"fmt"

	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/train"
)

// datasets are opened once and shared by the runs that see the same images.
type datasets map[string]*data.Dataset

func (d datasets) open(ctx context.Context, cfg recipe.Data) (*data.Dataset, error) {
	key := fmt.Sprint(cfg.Name, "\x00", cfg.Root, "\x00", cfg.Train, "\x00", cfg.Test, "\x00", cfg.ShortSide, "\x00", cfg.Size,
		"\x00", cfg.Validation, "\x00", cfg.ColourSpace)
	if ds, ok := d[key]; ok {
		return ds, nil
	}
	ds, err := data.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	d[key] = ds
	return ds, nil
}

// close closes what the data sets hold open. It is only read, so nothing can be lost.
func (d datasets) close() {
	for _, ds := range d {
		ds.Close()
	}
}

// check opens the data of every job and checks that net and batch fit it, before
// anything is written. Seeds make no difference here.
func (d datasets) check(ctx context.Context, jobs []Job) error {
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
		if err := train.Check(j.Variant.Recipe, ds); err != nil {
			return fmt.Errorf("variant %s: %w", j.Variant.Name, err)
		}
	}
	return nil
}

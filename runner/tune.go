package runner

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"ablate/configs"
	"ablate/experiments"
)

// ErrUntuned reports a study with unfinished tuning runs.
var ErrUntuned = errors.New("is not done")

// Choose returns the best setting of each given variant, by the tuning runs in a store: the
// setting with the best mean over the tuning seeds after the last epoch, or the first of equal
// ones. A run that diverged is the worst.
func Choose(store *experiments.Store, s *configs.Study, variants []string) (map[string]configs.Setting, error) {
	tuning, err := s.Tuning()
	if err != nil {
		return nil, err
	}
	chosen := map[string]configs.Setting{}
	for _, v := range s.Variants {
		if !slices.Contains(variants, v.Name) || s.Again(v) {
			continue
		}
		best := math.Inf(1)
		for _, setting := range s.Tune.Settings {
			figure, err := tuningFigure(store, tuning, configs.TuningVariant(v.Name, setting.Name))
			if err != nil {
				return nil, err
			}
			if s.Tune.Better == "higher" {
				figure = -figure
			}
			if figure < best { // never true of a run that diverged
				best, chosen[v.Name] = figure, setting
			}
		}
		if _, ok := chosen[v.Name]; !ok {
			return nil, fmt.Errorf("tune %s: variant %s diverged with every setting: ablate report %s", s.Name, v.Name,
				tuning.Name)
		}
	}
	return chosen, nil
}

// tuningFigure returns the figure of a variant of the tuning study on held-out data. Runs of
// another recipe do not count.
func tuningFigure(store *experiments.Store, tuning *configs.Study, variant string) (float64, error) {
	i := slices.IndexFunc(tuning.Variants, func(v configs.Variant) bool { return v.Name == variant })
	identity, err := tuning.Variants[i].Recipe.Identity()
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, seed := range tuning.Seeds {
		r, err := store.Record(tuning.Name, variant, seed)
		if err != nil || !r.Status.Final() {
			return 0, fmt.Errorf("tuning run %s/%s/%d %w", tuning.Name, variant, seed, ErrUntuned)
		}
		if today, err := identify(r.Recipe); err != nil || today != identity {
			return 0, fmt.Errorf("tuning run %s/%s/%d of this recipe %w", tuning.Name, variant, seed, ErrUntuned)
		}
		value, err := lastValue(store, r, tuning.Report.Metric)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum / float64(len(tuning.Seeds)), nil
}

// lastValue returns the last value of a metric in a run's log. For a run that diverged it is NaN.
func lastValue(store *experiments.Store, r experiments.Record, name string) (float64, error) {
	if r.Status != experiments.Done {
		return math.NaN(), nil
	}
	if v, ok := r.Result.Metrics[name]; ok {
		return float64(v), nil
	}
	log, err := store.Metrics(r)
	if err != nil {
		return 0, err
	}
	for _, m := range slices.Backward(log) {
		if m.Name == name {
			return float64(m.Value), nil
		}
	}
	return 0, fmt.Errorf("tuning run %s/%s/%d logged no %s", r.Study, r.Variant, r.Seed, name)
}

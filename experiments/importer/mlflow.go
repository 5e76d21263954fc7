package importer

import (
	"fmt"
	"strings"

	"ablate/experiments"
	"ablate/experiments/export/mlflow"
	"ablate/recipe"
)

// MLflow makes runs of the finished runs that a server stores.
func MLflow(address string, q mlflow.Query, stored []mlflow.StoredRun) (*Source, error) {
	s := &Source{From: "mlflow", Name: strings.TrimSuffix(address, "/") + " " + q.Experiment}
	for _, from := range []string{q.Variant, q.Seed} {
		kind, name, _ := strings.Cut(from, ".")
		if from != "run_name" && (name == "" || kind != "tags" && kind != "params") {
			return nil, fmt.Errorf("%q is no place of a run; write tags.NAME, params.NAME or run_name", from)
		}
	}
	for _, r := range stored {
		where := fmt.Sprintf("run %s (%s)", r.ID, r.Name)
		if r.Status != "FINISHED" {
			s.Left = append(s.Left, fmt.Sprintf("%s: its status is %s", where, r.Status))
			continue
		}
		variant, seedText := of(r, q.Variant), of(r, q.Seed)
		seed, ok := seedOf(seedText)
		switch {
		case variant == "":
			return nil, fmt.Errorf("%s: %w: it has no %s; --variant-from names another place, --filter leaves runs out", where,
				ErrAmbiguous, q.Variant)
		case !ok:
			return nil, fmt.Errorf("%s: %w: its %s is %q, not a whole number from 0 up; --seed-from names another place", where,
				ErrAmbiguous, q.Seed, seedText)
		case len(r.Metrics) == 0:
			s.Left = append(s.Left, where+": it measured nothing")
			continue
		}
		params := recipe.Params{}
		for name, value := range r.Params {
			if q.Seed != "params."+name {
				params[name] = param(value)
			}
		}
		s.Runs = append(s.Runs, Run{
			Variant: variant, Seed: seed, Params: params, Name: r.ID, Where: where,
			Metrics: numbered(experiments.Series(r.Metrics), true, false),
		})
	}
	return s, s.check()
}

// of returns a run's entry at a place.
func of(r mlflow.StoredRun, place string) string {
	kind, name, _ := strings.Cut(place, ".")
	switch kind {
	case "tags":
		return r.Tags[name]
	case "params":
		return r.Params[name]
	}
	return r.Name
}

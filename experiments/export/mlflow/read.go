package mlflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"

	"ablate/experiments"
)

// A Query states which runs of a server are read, and where each has its variant and its seed: tags.NAME, params.NAME
// or run_name.
type Query struct{ Experiment, Variant, Seed, Filter string }

// A StoredRun is a run as a server stores it.
type StoredRun struct {
	ID, Name, Status string
	Params, Tags     map[string]string
	Metrics          []experiments.Metric
}

// Bounds on how much is read from a server.
const (
	readRuns   = 10_000
	readPoints = 1 << 20 // for each run
	pageRuns   = 500
	pagePoints = 10_000
)

type keyValue struct{ Key, Value string }

// storedNumber is a value in MLflow's form: NaN as a word, infinities as the largest number.
type storedNumber float64

func (n *storedNumber) UnmarshalJSON(text []byte) error {
	var v experiments.Number
	if err := v.UnmarshalJSON(text); err != nil {
		var word string
		if json.Unmarshal(text, &word) != nil {
			return err
		}
		f, perr := strconv.ParseFloat(word, 64)
		if perr != nil {
			return err
		}
		v = experiments.Number(f)
	}
	switch f := float64(v); {
	case f >= math.MaxFloat64:
		v = experiments.Number(math.Inf(1))
	case f <= -math.MaxFloat64:
		v = experiments.Number(math.Inf(-1))
	}
	*n = storedNumber(v)
	return nil
}

// wholeNumber is an int64, which MLflow writes as a number or as a string with one.
type wholeNumber int64

func (n *wholeNumber) UnmarshalJSON(text []byte) error {
	var number json.Number
	if err := json.Unmarshal(text, &number); err != nil {
		return err
	}
	v, err := number.Int64()
	*n = wholeNumber(v)
	return err
}

type found struct {
	Info struct {
		ID     string `json:"run_id"`
		Name   string `json:"run_name"`
		Status string `json:"status"`
	} `json:"info"`
	Data struct {
		Metrics []struct{ Key string } `json:"metrics"`
		Params  []keyValue             `json:"params"`
		Tags    []keyValue             `json:"tags"`
	} `json:"data"`
}

// Read returns the runs of an experiment, without deleted ones.
func Read(ctx context.Context, address string, q Query) ([]StoredRun, error) {
	c, err := newClient(address)
	if err != nil {
		return nil, err
	}
	var e struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		}
	}
	err = c.get(ctx, "experiments/get-by-name", url.Values{"experiment_name": {q.Experiment}}, &e)
	if answered(err, "RESOURCE_DOES_NOT_EXIST") {
		return nil, fmt.Errorf("%s has no experiment %s", address, q.Experiment)
	}
	if err != nil {
		return nil, err
	}
	var runs []StoredRun
	for token := ""; ; {
		var page struct {
			Runs []found
			Next string `json:"next_page_token"`
		}
		body := map[string]any{
			"experiment_ids": []string{e.Experiment.ID}, "max_results": pageRuns, "filter": q.Filter, "page_token": token,
			"order_by": []string{"attributes.start_time ASC"},
		}
		if err := c.post(ctx, "runs/search", body, &page); err != nil {
			return nil, err
		}
		for _, f := range page.Runs {
			r := StoredRun{
				ID: f.Info.ID, Name: f.Info.Name, Status: f.Info.Status, Params: asMap(f.Data.Params), Tags: asMap(f.Data.Tags),
			}
			if r.Status == "FINISHED" { // only finished runs are imported
				for _, m := range f.Data.Metrics {
					if err := r.history(ctx, c, m.Key); err != nil {
						return nil, err
					}
				}
			}
			if runs = append(runs, r); len(runs) > readRuns {
				return nil, fmt.Errorf("experiment %s has more than %d runs; choose some of them with a filter", q.Experiment,
					readRuns)
			}
		}
		if token = page.Next; token == "" {
			return runs, nil
		}
	}
}

func asMap(list []keyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		m[kv.Key] = kv.Value
	}
	return m
}

// history reads all values of a metric, by step.
func (r *StoredRun) history(ctx context.Context, c *client, key string) error {
	var points []experiments.Metric
	for token := ""; ; {
		var page struct {
			Metrics []struct {
				Value storedNumber
				Step  wholeNumber
			}
			Next string `json:"next_page_token"`
		}
		query := url.Values{"run_id": {r.ID}, "metric_key": {key}, "max_results": {strconv.Itoa(pagePoints)}}
		if token != "" {
			query.Set("page_token", token)
		}
		if err := c.get(ctx, "metrics/get-history", query, &page); err != nil {
			return fmt.Errorf("run %s: %s: %w", r.ID, key, err)
		}
		for _, p := range page.Metrics {
			points = append(points, experiments.Metric{
				Attempt: 1, Name: key, Step: int64(p.Step), Value: experiments.Number(p.Value),
			})
		}
		if len(points)+len(r.Metrics) > readPoints {
			return fmt.Errorf("run %s: %w", r.ID, errors.New("it has more values than are read"))
		}
		if token = page.Next; token == "" {
			break
		}
	}
	slices.SortStableFunc(points, func(a, b experiments.Metric) int { return int(a.Step - b.Step) })
	r.Metrics = append(r.Metrics, points...)
	return nil
}

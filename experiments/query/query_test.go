package query

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"ablate/experiments"
)

var run = Run{
	Record: &experiments.Record{
		Study: "cifar", Variant: "no-lrn", Seed: 3, Status: experiments.Done, Edited: true,
		Changes:  []string{"− norm1, norm2"},
		Attempts: []experiments.Attempt{{Started: time.Date(2026, 11, 23, 14, 2, 0, 0, time.Local)}},
		Result:   &experiments.Result{Top1Error: 0.118, TestLoss: experiments.Number(math.NaN())},
	},
	Notes:   experiments.Notes{Tags: []string{"best", "paper"}},
	Recipe:  map[string]any{"train.lr": 0.05, "train.nesterov": true, "study": "no key hides the record's"},
	Metrics: map[string]float64{"val_f1": 0.5},
}

func TestMatch(t *testing.T) {
	now = func() time.Time { return time.Date(2026, 11, 24, 9, 0, 0, 0, time.Local) }
	defer func() { now = time.Now }()
	for text, want := range map[string]bool{
		"train.lr > 0.01 and status = done and tag = paper": true,
		"train.lr>0.01 and status==done":                    true,
		"train.lr > 5e-2":                                   false,
		"train.lr >= 5e-2":                                  true,
		"top1_error < 12%":                                  true,
		"status = failed or seed = 3":                       true,
		"status = failed or seed = 3 and edited = false":    false,
		"(status = failed or seed = 3) and edited = true":   true,
		"not status = done":                                 false,
		"not (status = failed)":                             true,
		"NOT status = failed AND seed = 3":                  true,
		"train.nesterov = true and metric.val_f1 = 50%":     true,
		"metric.none = 1":                                   false,
		"study = cifar":                                     true,
		"tag = best":                                        true,
		"tag != paper":                                      false,
		"tag != draft":                                      true,
		"tag ~ ap":                                          true,
		"note = x":                                          false,
		"note != x":                                         true,
		"data.name = cifar10":                               false, // a run without it is unlike any
		"data.name != cifar10":                              true,
		"data.name < 3":                                     false,
		"test_loss < 1":                                     false,
		"test_loss != 1":                                    true,
		"changes ~ NORM1":                                   true,
		"changes = '− norm1, norm2'":                        true,
		`changes = "− norm1, norm2"`:                        true,
		"started > 2026-11-23":                              true,
		"started < today":                                   true,
		"started >= yesterday":                              true,
		"started < '2026-11-23 14:02'":                      false,
		"started <= '2026-11-23 14:02'":                     true,
	} {
		e, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := e.Match(run); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "at its end: want a name",
		"status":                                 "at its end: want = != < <= > >= or ~ after status",
		"status = ":                              "at its end: want a value",
		"status = done and":                      "at its end: want a name",
		"status = done seed = 3":                 `at character 15, "seed = 3": want and, or, or the end`,
		"(status = done":                         "at its end: want )",
		"status = done)":                         `at character 14, ")": want and`,
		"status = 'done":                         "the quotation mark ' is not closed",
		"top1_error < 11.7 %":                    `at character 19, "%": want and`,
		"train.lr > fast":                        `at character 1: train.lr is a number, but "fast" is not`,
		"seed = 3 and train.lr > '0.1'":          "at character 14: train.lr is a number",
		"status > done":                          "status is text, which > cannot compare; use = != or ~",
		"tag >= a":                               "tag is text",
		"started > soon":                         "started is a time; write it as 2006-01-02",
		strings.Repeat("(", 200):                 "more than 100 nested brackets",
		strings.Repeat("not ", 200):              "more than 100 nested brackets",
		strings.Repeat("x", 20000):               "longer than 10000 bytes",
		"status = \xff":                          "not UTF-8",
		"status = failed and started > tomorrow": "started is a time",
	} {
		e, err := Parse(text)
		if err == nil {
			_, err = e.Match(run)
		}
		if !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	if err := Known([]string{"train.lt"}, []Run{run}); err == nil || !strings.Contains(err.Error(), "train.lr") {
		t.Error(err)
	}
	if err := Known([]string{"ended", "train.lr", "metric.val_f1"}, []Run{run}); err != nil {
		t.Error(err)
	}
	e, err := Parse("seed = 3 and train.lt > 1")
	if err == nil {
		err = e.Known([]Run{run})
	}
	if !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), "at character 14: no run has train.lt; did you mean") {
		t.Error(err)
	}
}

func TestCompare(t *testing.T) {
	of := func(x float64, s string) Run {
		r := Run{Record: &experiments.Record{}, Recipe: map[string]any{"x": x}}
		if s != "" {
			r.Recipe["s"] = s
		}
		return r
	}
	small, large, none := of(9, "b"), of(10, "a"), of(math.NaN(), "")
	if Compare(small, large, "x", false) >= 0 || Compare(small, large, "x", true) <= 0 ||
		Compare(small, large, "s", false) <= 0 || Compare(none, large, "x", true) <= 0 ||
		Compare(none, Run{Record: &experiments.Record{}}, "x", false) != 0 {
		t.Error("the order is wrong")
	}
}

// No text crashes the reader, and what it reads decides about a run or says why not.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"train.lr > 0.01 and status = done", "not (a = 'b' or c ~ \"d\")", "x<=1%", "((", "a = ",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrQuery) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%q", err)
			}
			return
		}
		if _, err := e.Match(run); err != nil && !errors.Is(err, ErrQuery) {
			t.Error(err)
		}
	})
}

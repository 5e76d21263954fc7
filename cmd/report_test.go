package cmd

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ablate/configs"
	"ablate/experiments"
)

// A watched report is written again when a run ends, and the watch with the last run.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	store := &experiments.Store{Root: filepath.Join(dir, "runs")}
	begin := func(variant string) *experiments.Recorder {
		r, err := store.Start(experiments.Record{Study: "s", Variant: variant, Seed: 1, Identity: variant},
			experiments.StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	end := func(r *experiments.Recorder, wrong float64) {
		if err := r.Finish(experiments.Done, &experiments.Result{Epochs: 1, Top1Error: experiments.Number(wrong),
			TestExamples: 100}, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	first, second := begin("baseline"), begin("other")
	end(first, 0.25)
	file := filepath.Join(dir, "table.md")
	r := &reporter{reportFlags: reportFlags{format: "md", at: "last", output: file}, store: store, study: "s"}
	ended := make(chan error)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { ended <- r.watch(ctx) }()
	text := func() string {
		b, _ := os.ReadFile(file) // not there at first
		return string(b)
	}
	for !strings.Contains(text(), "1 running") && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	end(second, 0.5)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal("the watch did not end with the last run")
	}
	if got := text(); strings.Contains(got, "running") || !strings.Contains(got, "+25.00") {
		t.Errorf("the last report:\n%s", got)
	}
}

// A watch that begins before the first run waits for it, and ends with an ablate
// run of some of the study's variants, though the study's file plans more.
func TestWatchOfSomeVariants(t *testing.T) {
	dir := t.TempDir()
	store := &experiments.Store{Root: filepath.Join(dir, "runs")}
	file := filepath.Join(dir, "table.md")
	plan := &configs.Study{Name: "s", Seeds: []uint64{1, 2}, Variants: []configs.Variant{{Name: "baseline"},
		{Name: "other"}}}
	r := &reporter{reportFlags: reportFlags{format: "md", at: "last", output: file}, store: store, study: "s", plan: plan,
		warnings: io.Discard}
	ended := make(chan error)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { ended <- r.watch(ctx) }()

	run, err := store.Start(experiments.Record{Study: "s", Variant: "baseline", Seed: 1, Identity: "b",
		Attempts: []experiments.Attempt{{}}}, experiments.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for ctx.Err() == nil {
		if b, _ := os.ReadFile(file); strings.Contains(string(b), "1 running") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := run.Finish(experiments.Done, &experiments.Result{Epochs: 1, Top1Error: 0.25, TestExamples: 100},
		nil); err != nil {
		t.Fatal(err)
	}
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
	if err := writeReports(store, plan, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal("the watch did not end with the command")
	}
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "25.00") {
		t.Errorf("the last report: %v\n%s", err, b)
	}
}

package runner

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ablate/experiments"
)

// Freezing and thawing keeps the recipes, with their identities and their order.
func TestFreezeAndThaw(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "3")
	f, err := Freeze(s, experiments.Declaration{Study: s.Name, Seeds: s.Seeds}, jobs, "abc")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := f.Write(&text); err != nil {
		t.Fatal(err)
	}
	read, err := ReadFrozen(&text)
	if err != nil {
		t.Fatal(err)
	}
	thawed, list, err := read.Thaw([]int{2, 0})
	if err != nil {
		t.Fatal(err)
	}
	if thawed.Name != s.Name || thawed.Checkpoint != s.Checkpoint || len(list) != 2 {
		t.Fatalf("%+v, %d jobs", thawed, len(list))
	}
	for i, j := range list {
		want := jobs[[]int{2, 0}[i]]
		wantID, _ := want.Variant.Recipe.Identity()
		id, err := j.Variant.Recipe.Identity()
		if err != nil || id != wantID || j.Seed != want.Seed || j.Cost != want.Cost || j.Variant.Name != want.Variant.Name {
			t.Errorf("%d: %s seed %d, %v; want %s seed %d", i, id, j.Seed, err, wantID, want.Seed)
		}
	}
	if err := read.CheckProgram("abc"); err != nil {
		t.Error(err)
	}
	if err := read.CheckProgram("abd"); !errors.Is(err, ErrProgram) {
		t.Error(err)
	}
}

// A plan leaves out finished runs, and refuses at once runs that were trained by another recipe.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "3")
	f, err := Freeze(s, experiments.Declaration{Study: s.Name}, jobs, "abc")
	if err != nil {
		t.Fatal(err)
	}
	store := &experiments.Store{Root: t.TempDir()}
	left := func() []int {
		t.Helper()
		tasks, err := f.Unfinished(store)
		if err != nil {
			t.Fatal(err)
		}
		return tasks
	}
	if d := cmp.Diff([]int{0, 1, 2}, left()); d != "" {
		t.Error(d)
	}
	finish := func(j Job, identity string, status experiments.Status) {
		t.Helper()
		r, err := store.Start(experiments.Record{
			Study: s.Name, Variant: j.Variant.Name, Seed: j.Seed, Identity: identity, Recipe: []byte("{}"),
		}, experiments.StartOptions{})
		if err == nil {
			err = r.Finish(status, nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	id, err := jobs[1].Variant.Recipe.Identity()
	if err != nil {
		t.Fatal(err)
	}
	finish(jobs[1], id, experiments.Done)
	finish(jobs[2], id, experiments.Interrupted)
	if d := cmp.Diff([]int{0, 2}, left()); d != "" {
		t.Error(d)
	}
	finish(jobs[0], "another", experiments.Interrupted)
	if _, err := f.Unfinished(store); !errors.Is(err, experiments.ErrChanged) {
		t.Errorf("%v, want %v", err, experiments.ErrChanged)
	}
}

func TestParseTasks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]int{
		"7": {7}, "0-3": {0, 1, 2, 3}, "5,1-2 2,9": {5, 1, 2, 9}, "4-4": {4},
	} {
		got, err := ParseTasks(strings.Fields(text))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "3-1", "1-", "1,,2", "0-99999999999", "1.5"} {
		if got, err := ParseTasks([]string{text}); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	for text, tasks := range map[string][]int{"": nil, "3": {3}, "0-2,5,7-8": {0, 1, 2, 5, 7, 8}} {
		if got := FormatTasks(tasks); got != text {
			t.Errorf("%v: %s, want %s", tasks, got, text)
		}
	}
}

// Whatever a plan's file holds, reading it and thawing its tasks returns a plan or an error.
func FuzzReadFrozen(f *testing.F) {
	f.Add([]byte(`{"version":1,"study":{"study":"s"},"checkpoint":"10m0s","variants":[{"name":"a","recipe":{}}],` +
		`"tasks":[{"variant":"a","seed":1}]}`))
	f.Add([]byte(`{"version":1,"tasks":[{"variant":"a"}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		plan, err := ReadFrozen(bytes.NewReader(text))
		if err != nil {
			return
		}
		for i := range min(len(plan.Tasks), 3) {
			if _, jobs, err := plan.Thaw([]int{i}); err == nil && len(jobs) != 1 {
				t.Errorf("task %d: %d jobs", i, len(jobs))
			}
		}
	})
}

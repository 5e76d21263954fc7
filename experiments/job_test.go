package experiments

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestThisJob(t *testing.T) {
	for name, c := range map[string]struct {
		environment map[string]string
		want        *job
	}{
		"none": {nil, nil},
		"a job of Slurm": {
			map[string]string{"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c"}, &job{Engine: slurm, Cluster: "c", ID: "7"}},
		"a task of an array, requeued twice": {
			map[string]string{"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2",
				"SLURM_RESTART_COUNT": "2", "SLURM_CLUSTER_NAME": "c"},
			&job{Engine: slurm, Cluster: "c", ID: "7_2", Restart: 2}},
		"a pod": {
			map[string]string{"ABLATE_KUBERNETES_JOB": "u", "ABLATE_KUBERNETES_POD": "p", "JOB_COMPLETION_INDEX": "3"},
			&job{Engine: kubernetes, ID: "u/3", Pod: "p"}},
		"a pod of a Job that is not ours": {map[string]string{"JOB_COMPLETION_INDEX": "3"}, nil},
	} {
		got := thisJob(func(name string) string { return c.environment[name] })
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

// fakeSlurm puts a squeue before all others: it knows job 1, running, and says what it is told of job 2.
func fakeSlurm(t *testing.T, state string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows: a shell stands in for squeue")
	}
	dir := t.TempDir()
	script := `#!/bin/sh
for a; do case $a in
--jobs=1) echo RUNNING; exit;;
--jobs=2) ` + state + `; exit;;
--jobs=*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1;;
esac; done
`
	if err := os.WriteFile(filepath.Join(dir, "squeue"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestFateOfJobs(t *testing.T) {
	fakeSlurm(t, "echo COMPLETED")
	of := func(engine, cluster, id string, restart int, pod string) *job {
		return &job{Engine: engine, Cluster: cluster, ID: id, Restart: restart, Pod: pod}
	}
	for name, c := range map[string]struct {
		owner, me *job
		want      fate
	}{
		"neither":                        {nil, nil, unknown},
		"only the owner":                 {of(slurm, "c", "1", 0, ""), nil, unknown},
		"only me":                        {nil, of(slurm, "c", "1", 0, ""), unknown},
		"the same job, requeued":         {of(slurm, "c", "1", 0, ""), of(slurm, "c", "1", 1, ""), gone},
		"the same job, twice":            {of(slurm, "c", "1", 1, ""), of(slurm, "c", "1", 1, ""), unknown},
		"a later start of the same job":  {of(slurm, "c", "1", 2, ""), of(slurm, "c", "1", 1, ""), unknown},
		"another job that runs":          {of(slurm, "c", "1", 0, ""), of(slurm, "c", "5", 0, ""), unknown},
		"another job that has ended":     {of(slurm, "c", "2", 0, ""), of(slurm, "c", "5", 0, ""), gone},
		"another job that is forgotten":  {of(slurm, "c", "3_1", 0, ""), of(slurm, "c", "5", 0, ""), gone},
		"a job of another cluster":       {of(slurm, "d", "3", 0, ""), of(slurm, "c", "5", 0, ""), unknown},
		"clusters without names":         {of(slurm, "", "3", 0, ""), of(slurm, "", "5", 0, ""), unknown},
		"a job with an odd name":         {of(slurm, "c", "--help", 0, ""), of(slurm, "c", "5", 0, ""), unknown},
		"the same index, another pod":    {of(kubernetes, "", "u/1", 0, "p"), of(kubernetes, "", "u/1", 0, "q"), gone},
		"the same pod":                   {of(kubernetes, "", "u/1", 0, "p"), of(kubernetes, "", "u/1", 0, "p"), unknown},
		"another index":                  {of(kubernetes, "", "u/1", 0, "p"), of(kubernetes, "", "u/2", 0, "q"), unknown},
		"another engine of the same job": {of(slurm, "", "1", 0, ""), of(kubernetes, "", "1", 5, "q"), unknown},
	} {
		if got := c.owner.fate(c.me); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestAskSlurm(t *testing.T) {
	for say, want := range map[string]fate{
		"echo COMPLETED": gone, "echo PENDING": gone, "echo NODE_FAIL": gone, "true": gone,
		"echo RUNNING": unknown, "echo COMPLETING": unknown, "echo SUSPENDED": unknown, "echo NEW_STATE": unknown,
		"echo FAILED; echo RUNNING":                                        unknown,
		"echo 'slurm_load_jobs error: Unable to contact slurm' >&2; false": unknown,
	} {
		fakeSlurm(t, say)
		if got := askSlurm("2"); got != want {
			t.Errorf("%s: %d, want %d", say, got, want)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if got := askSlurm("2"); got != unknown {
		t.Errorf("without Slurm: %d", got)
	}
}

// A job that was requeued after its node crashed takes its run over without a hand.
func TestRequeuedJobContinues(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	for name, value := range map[string]string{
		"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "", "SLURM_CLUSTER_NAME": "c", "SLURM_RESTART_COUNT": "",
	} {
		t.Setenv(name, value)
	}
	r := start(t, s, "a", StartOptions{})
	if err := r.SaveCheckpoint(checkpointAt(20)); err != nil {
		t.Fatal(err)
	}
	me := self()
	me.Host, me.Namespace, me.Boot = "n1", "pid:[1]", "another" // as if a node had crashed
	crashed, err := claimAs(r.Dir(), me)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, ErrBusy) ||
		!containsAll(err.Error(), "Slurm job 7", "n1") {
		t.Errorf("the same start of the job: %v", err)
	}
	t.Setenv("SLURM_RESTART_COUNT", "1")
	next := start(t, s, "a", StartOptions{})
	wantCheckpoint(t, next, 20)
	for what, err := range map[string]error{ // of a node that was only cut off
		"log": r.Log(Metric{Epoch: 9, Step: 90, Name: "x"}), "checkpoint": r.SaveCheckpoint(checkpointAt(30)),
		"record": r.Finish(Done, nil, nil), "lock": crashed.check(),
	} {
		if !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	finish(t, next)
	r.closeFiles()
}

// claimAs replaces a run's lock by another process's.
func claimAs(dir string, o owner) (hold, error) {
	path := filepath.Join(dir, lockFile)
	if err := os.Remove(path); err != nil {
		return hold{}, err
	}
	return claim(path, o)
}

package cluster

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// planOf returns a plan of a study with the given number of seeds and one task per group.
func planOf(t *testing.T, seeds int) *runner.Frozen {
	t.Helper()
	s, err := configs.Load("../testdata/tiny.yaml", []string{fmt.Sprint("seeds=", seeds)})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := runner.Plan(s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := runner.Freeze(s, experiments.Declaration{Version: 1, Study: s.Name, Seeds: s.Seeds}, jobs,
		strings.Repeat("0123456789abcdef", 4))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]int, len(f.Tasks))
	for i := range all {
		all[i] = i
	}
	f.Pack(all, 1, nil, 0)
	return f
}

// bare returns a plan of three groups. It does not depend on what recipes contain.
func bare() *runner.Frozen {
	return &runner.Frozen{
		Version: 1, Program: strings.Repeat("0123456789abcdef", 4), Device: "auto", Checkpoint: "10m0s",
		Study:    experiments.Declaration{Version: 1, Study: "tiny", Seeds: []uint64{1, 2}},
		Variants: []runner.FrozenVariant{{Name: "baseline", Recipe: []byte("{}")}, {Name: "no-lrn", Recipe: []byte("{}")}},
		Tasks:    []runner.Task{{Variant: "baseline", Seed: 1}, {Variant: "no-lrn", Seed: 1}, {Variant: "baseline", Seed: 2}},
		Groups:   []string{"0", "1", "2"},
	}
}

// The scripts for Slurm equal the golden files, and bash can read them.
func TestSlurmScripts(t *testing.T) {
	t.Parallel()
	s := Submission{Dir: "/runs of mine/tiny/.submit/1", Plan: planOf(t, 4)}
	plain := SlurmOptions{Program: "/runs of mine/tiny/.submit/ablate-0123", Runs: "/runs of mine", Folder: "/home/ada"}
	full := plain
	full.Folder = "/home/o'brien"
	full.Slurm = configs.Slurm{AtOnce: 8, Time: "4h", Partition: "gpu", GPUs: 1, CPUs: 8, Mem: "16G",
		Sbatch: []string{"--account=vision", "--exclude=n7"},
		Setup:  []string{"module load cuda", `export TMPDIR="$SLURM_TMPDIR"`}}
	for name, o := range map[string]SlurmOptions{"plain": plain, "full": full} {
		array, err := o.arrayScript(s, 0, 4)
		if err != nil {
			t.Fatal(err)
		}
		report, err := o.reportScript(s)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".sh", array)
		golden(t, name+"-report.sh", report)
		for _, text := range []string{array, report} {
			if bash, err := exec.LookPath("bash"); err == nil {
				c := exec.Command(bash, "-n")
				c.Stdin = strings.NewReader(text)
				if out, err := c.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
			}
		}
	}
	for says, o := range map[string]configs.Slurm{
		"--gpus 2: the study does not say how": {GPUs: 2},
		"--time: \"soon\" is no time limit":    {Time: "soon"},
		"--sbatch \"account\": write":          {Sbatch: []string{"account"}},
		"in one line":                          {Sbatch: []string{"--account=a\nrm -r"}},
	} {
		if _, err := (SlurmOptions{Slurm: o}).arrayScript(s, 0, 4); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", o, err, says)
		}
	}
}

func TestTimeLimits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"4h": "0-04:00:00", "90m": "0-01:30:00", "36h30m": "1-12:30:00", "30": "0-00:30:00", "90:30": "0-01:30:30",
		"12:30:15": "0-12:30:15", "2-12": "2-12:00:00", "2-12:30": "2-12:30:00", "7-00:00:01": "7-00:00:01",
	} {
		d, err := parseTime(text)
		if err != nil || formatTime(d) != want {
			t.Errorf("%s: %s, %v; want %s", text, formatTime(d), err, want)
		}
	}
	for _, text := range []string{"", "0", "30s", "-4h", "4 h", "x", "1:2:3:4", "99999999999999", "0:30"} {
		if d, err := parseTime(text); err == nil {
			t.Errorf("%q: %v", text, d)
		}
	}
}

// fakeEngines puts fake programs first in the PATH. They record how they are called: sbatch counts
// its calls, squeue and kubectl print files of the folder.
func fakeEngines(t *testing.T) (dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows: shell scripts stand in for sbatch, squeue and kubectl")
	}
	dir = t.TempDir()
	for name, text := range map[string]string{
		"sbatch":   `cat >"$0.$(ls "$0".* 2>/dev/null | wc -l)"; ls "$0".* | wc -l | tr -d ' '`,
		"scontrol": `echo "MaxArraySize            = 1001"`,
		"squeue":   `cat "$0.answer"`,
		"kubectl":  `cat "$0.$2.answer" 2>/dev/null || true`,
		"scancel":  `true`,
	} {
		script := "#!/bin/sh\necho \"$(basename $0) $*\" >>" + dir + "/calls\n" + text + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

func say(t *testing.T, dir, program, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, program+".answer"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// calls returns the command lines of a program so far.
func calls(t *testing.T, dir, program string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(l, program+" "); ok {
			lines = append(lines, rest)
		}
	}
	return lines
}

// A plan with more groups than an array may have becomes several arrays. They run one after the
// other if the number of concurrent runs is limited. The report comes after all of them.
func TestSubmitSplits(t *testing.T) {
	dir := fakeEngines(t)
	store := &experiments.Store{Root: t.TempDir()}
	plan := planOf(t, 2300)
	jobs, err := SubmitSlurm(t.Context(), store, plan, SlurmOptions{
		Slurm: configs.Slurm{AtOnce: 8}, Program: filepath.Join(dir, "scancel"), Runs: store.Root, Folder: dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range jobs {
		jobs[i].Time, jobs[i].Submission = time.Time{}, 0
	}
	want := []Job{{Engine: Slurm, ID: "1", Groups: 1001}, {Engine: Slurm, ID: "2", First: 1001, Groups: 1001},
		{Engine: Slurm, ID: "3", First: 2002, Groups: 298}, {Engine: Slurm, ID: "4"}}
	if d := cmp.Diff(want, jobs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"--parsable", "--parsable --dependency=afterany:1", "--parsable --dependency=afterany:2",
		"--parsable --dependency=afterany:1:2:3"}, calls(t, dir, "sbatch")); d != "" {
		t.Error(d)
	}
	last, err := os.ReadFile(filepath.Join(dir, "sbatch.2"))
	if err != nil || !strings.Contains(string(last), "#SBATCH --array=0-297%8\n") ||
		!strings.Contains(string(last), "group=$((2002 + SLURM_ARRAY_TASK_ID))\n") {
		t.Errorf("%v\n%s", err, last)
	}
	noted, err := Jobs(store, "tiny")
	if err != nil || len(noted) != 4 || noted[2].Submission != 1 || noted[2].Time.IsZero() {
		t.Errorf("%+v, %v", noted, err)
	}
	if _, err := os.Stat(filepath.Join(store.Root, "tiny", ".submit", "ablate-0123456789ab")); err != nil {
		t.Error("the program was not kept:", err)
	}
}

// finish records a run of tiny that ended with the given status.
func finish(t *testing.T, store *experiments.Store, seed uint64, status experiments.Status, err error) {
	t.Helper()
	r, serr := store.Start(experiments.Record{Study: "tiny", Variant: "baseline", Seed: seed, Identity: "x",
		Recipe: []byte("{}")}, experiments.StartOptions{})
	if serr != nil {
		t.Fatal(serr)
	}
	defer r.Close()
	if err := r.Log(experiments.Metric{Epoch: 1, Step: 3, Name: "train_loss"}); err != nil {
		t.Fatal(err)
	}
	if status != experiments.Running {
		if err := r.Finish(status, nil, err); err != nil {
			t.Fatal(err)
		}
	}
}

// Status joins records with the queue: the record decides what is final, the engine decides what
// is still going on.
func TestStatusOfSlurm(t *testing.T) {
	dir := fakeEngines(t)
	store := &experiments.Store{Root: t.TempDir()}
	options := SlurmOptions{Program: filepath.Join(dir, "scancel"), Runs: store.Root, Folder: dir}
	if _, err := Status(t.Context(), store, "tiny"); !errors.Is(err, ErrNone) {
		t.Errorf("%v, want %v", err, ErrNone)
	}
	if _, err := SubmitSlurm(t.Context(), store, planOf(t, 7), options); err != nil {
		t.Fatal(err)
	}
	finish(t, store, 1, experiments.Done, nil)
	finish(t, store, 2, experiments.Diverged, errors.New("loss NaN"))
	finish(t, store, 3, experiments.Running, nil)
	finish(t, store, 4, experiments.Interrupted, errors.New("stopped by the user"))
	finish(t, store, 5, experiments.Running, nil)
	say(t, dir, "squeue", strings.Join([]string{
		"1|0|COMPLETED|None|n1|2026-11-24T13:00:00", "1|1|FAILED|NonZeroExitCode|n2|2026-11-24T13:00:00",
		"1|2|RUNNING|None|n3|2026-11-24T13:00:00", "1|3|PENDING|BeginTime||2026-11-24T13:30:00",
		"1|4|NODE_FAIL|NodeDown|n1|2026-11-24T13:00:00", "1|5|PENDING|Resources||N/A", "2|N/A|PENDING|Dependency||N/A",
	}, "\n"))
	host, _ := os.Hostname()
	runs, err := Status(t.Context(), store, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	run := func(seed uint64, state string, epoch int, node, job, why, starts string) Run {
		return Run{Task: runner.Task{Variant: "baseline", Seed: seed}, State: state, Epoch: epoch, Epochs: 2, Node: node,
			Job: job, Why: why, Starts: starts}
	}
	want := []Run{
		run(1, "done", 1, host, "1_0", "", ""),
		run(2, "diverged", 1, host, "1_1", "loss NaN", ""),
		run(3, "running", 1, "n3", "1_2", "", ""),
		run(4, "waiting", 1, host, "1_3", "BeginTime", "2026-11-24T13:30:00"),
		run(5, "running", 1, "n1", "1_4", "Slurm: NODE_FAIL", ""),
		run(6, "waiting", 0, "", "1_5", "Resources", ""),
		run(7, "new", 0, "", "", "", ""),
	}
	if d := cmp.Diff(want, runs); d != "" {
		t.Error(d)
	}
	cancelled, err := Cancel(t.Context(), store, "tiny")
	if err != nil || !slices.Equal(cancelled, []string{"1", "2"}) {
		t.Errorf("cancelled %v, %v", cancelled, err)
	}
	if d := cmp.Diff([]string{"1 2"}, calls(t, dir, "scancel")); d != "" {
		t.Error(d)
	}
	// Slurm forgets jobs some minutes after their end.
	if err := os.WriteFile(filepath.Join(dir, "squeue"),
		[]byte("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if runs, err = Status(t.Context(), store, "tiny"); err != nil || runs[4].Why != "not in a queue" {
		t.Errorf("%+v, %v", runs, err)
	}
	if cancelled, err := Cancel(t.Context(), store, "tiny"); err != nil || len(cancelled) > 0 {
		t.Errorf("cancelled %v, %v", cancelled, err)
	}
}

// A machine without Slurm reports it before anything is written.
func TestWithoutSlurm(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	store := &experiments.Store{Root: t.TempDir()}
	_, err := SubmitSlurm(t.Context(), store, planOf(t, 1), SlurmOptions{})
	if err == nil || !strings.Contains(err.Error(), "submit from a login node") {
		t.Error(err)
	}
	if entries, err := os.ReadDir(store.Root); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// The manifest for kubectl apply equals the golden file. TestKubernetesTypes decodes it into
// Kubernetes' own types.
func TestKubernetesManifest(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]configs.Kubernetes{
		"job.yaml": {Image: "registry.example/ablate:1", Claim: "work", Mount: "/work"},
		"job-full.yaml": {Image: "registry.example/ablate:1", Claim: "work", Mount: "/data", AtOnce: 2, GPUs: 1, CPUs: 8,
			Mem: "16Gi", Queue: "research"},
		"job-gpu.yaml": {Image: "i", Claim: "c", Mount: "/work", GPUs: 1},
		"job-cpu.yaml": {Image: "i", Claim: "c", Mount: "/work", CPUs: 2},
	} {
		var b bytes.Buffer
		job, err := WriteKubernetes(&b, bare(), o)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.String())
		if !strings.HasPrefix(job, "ablate-tiny-") || len(job) > 50 {
			t.Errorf("the Job is called %s", job)
		}
	}
	ok := configs.Kubernetes{Image: "i", Claim: "c", Mount: "/work"}
	for says, o := range map[string]func(*configs.Kubernetes){
		"--image: name":        func(k *configs.Kubernetes) { k.Image = "" },
		"--claim: name":        func(k *configs.Kubernetes) { k.Claim = "" },
		"--mount work: write":  func(k *configs.Kubernetes) { k.Mount = "work" },
		"--mem 16 GB: write":   func(k *configs.Kubernetes) { k.Mem = "16 GB" },
		"--queue a b: it can":  func(k *configs.Kubernetes) { k.Queue = "a b" },
		"--gpus 2: the study ": func(k *configs.Kubernetes) { k.GPUs = 2 },
	} {
		k := ok
		o(&k)
		if _, err := WriteKubernetes(&bytes.Buffer{}, bare(), k); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	big := bare()
	big.Title = strings.Repeat("x", maxConfigMap)
	_, err := WriteKubernetes(&bytes.Buffer{}, big, ok)
	if err == nil || !strings.Contains(err.Error(), "a ConfigMap at most") {
		t.Error(err)
	}
	if name := jobName("a_b.c+d-", strings.Repeat("0", 64)); name != "ablate-a-b-c-d-00000000" {
		t.Error(name)
	}
}

func TestStatusOfKubernetes(t *testing.T) {
	dir := fakeEngines(t)
	store := &experiments.Store{Root: t.TempDir()}
	plan := planOf(t, 6)
	if err := NoteKubernetes(store, plan, "ablate-tiny-1"); err != nil {
		t.Fatal(err)
	}
	say(t, dir, "kubectl.job", `{"spec":{"suspend":false},"status":{"completedIndexes":"0-1","failedIndexes":"2",
		"conditions":[]}}`)
	say(t, dir, "kubectl.pods", `{"items":[
		{"metadata":{"annotations":{"batch.kubernetes.io/job-completion-index":"0"}},"status":{"phase":"Succeeded"}},
		{"metadata":{"annotations":{"batch.kubernetes.io/job-completion-index":"3"}},"spec":{"nodeName":"p1"},
		 "status":{"phase":"Failed"}},
		{"metadata":{"annotations":{"batch.kubernetes.io/job-completion-index":"3"}},"spec":{"nodeName":"p2"},
		 "status":{"phase":"Running"}},
		{"metadata":{"annotations":{"batch.kubernetes.io/job-completion-index":"4"}},"spec":{},
		 "status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable",
		 "message":"0/2 nodes are available"}]}}]}`)
	states := func() (list []string) {
		t.Helper()
		runs, err := Status(t.Context(), store, "tiny")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			list = append(list, strings.TrimRight(fmt.Sprintf("%d %s %s %s", r.Seed, r.State, r.Node, r.Why), " "))
		}
		return list
	}
	if d := cmp.Diff([]string{"1 done", "2 done", "3 failed", "4 running p2",
		"5 waiting  Unschedulable: 0/2 nodes are available", "6 waiting"}, states()); d != "" {
		t.Error(d)
	}
	say(t, dir, "kubectl.job", `{"spec":{"suspend":true},"status":{}}`)
	say(t, dir, "kubectl.pods", `{"items":[]}`)
	if got := states(); got[0] != "1 waiting  suspended" {
		t.Error(got)
	}
	say(t, dir, "kubectl.job", `{"spec":{},"status":{"conditions":[{"type":"Failed","status":"True",
		"reason":"PodFailurePolicy","message":"exit code 2"}]}}`)
	if got := states(); got[0] != "1 failed  PodFailurePolicy: exit code 2" {
		t.Error(got)
	}
	say(t, dir, "kubectl.job", ``) // not applied yet, or deleted
	if got := states(); got[0] != "1 new" {
		t.Error(got)
	}
	if cancelled, err := Cancel(t.Context(), store, "tiny"); err != nil || len(cancelled) > 0 {
		t.Errorf("%v, %v", cancelled, err)
	}
}

// Whatever the file of jobs holds, reading it returns jobs or an error.
func FuzzReadJobs(f *testing.F) {
	f.Add([]byte(`{"submission":1,"engine":"slurm","id":"12","groups":3,"time":"2026-11-24T13:00:00Z"}` + "\n{\"sub"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		jobs, err := readJobs(bytes.NewReader(text))
		for _, j := range jobs {
			if err == nil && (j.Submission < 1 || j.Groups > maxGroups) {
				t.Errorf("%+v", j)
			}
		}
	})
}

// An answer of squeue that is cut short or has another form is an error, not a state.
func TestOddSqueue(t *testing.T) {
	dir := fakeEngines(t)
	say(t, dir, "squeue", "1|0|RUNNING\n")
	if got, err := squeue(context.Background(), []string{"1"}); err == nil {
		t.Errorf("%v", got)
	}
}

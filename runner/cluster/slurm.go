package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	_ "embed"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner"
)

// SlurmOptions say how a plan is submitted to Slurm.
type SlurmOptions struct {
	configs.Slurm
	Program string // the program that tasks run; this one if empty
	Runs    string // the folder of records, as the nodes see it
	Folder  string // the working folder of tasks: relative paths of the study start here
}

// SubmitSlurm submits a plan's groups to Slurm, as arrays of at most the size that Slurm accepts,
// and a job that writes the report after them. It returns Slurm's names of the jobs.
func SubmitSlurm(ctx context.Context, store *experiments.Store, plan *runner.Frozen, o SlurmOptions) ([]Job, error) {
	most, err := maxArray(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := o.lines(plan); err != nil { // before anything is written
		return nil, err
	}
	s, err := prepare(store, plan)
	if err != nil {
		return nil, err
	}
	if o.Program, err = keepProgram(filepath.Dir(s.Dir), o.Program, plan.Program); err != nil {
		return nil, err
	}
	var jobs []Job
	var ids []string
	for first := 0; first < len(plan.Groups); first += most {
		text, err := o.arrayScript(s, first, min(most, len(plan.Groups)-first))
		if err != nil {
			return jobs, err
		}
		var after []string
		if o.AtOnce > 0 && len(ids) > 0 { // the limit applies to each array by itself
			after = []string{"--dependency=afterany:" + ids[len(ids)-1]}
		}
		id, err := sbatch(ctx, filepath.Join(s.Dir, fmt.Sprintf("job-%d.sh", first)), text, after...)
		if err != nil {
			return jobs, err
		}
		j := Job{Engine: Slurm, ID: id, First: first, Groups: min(most, len(plan.Groups)-first)}
		if err := s.note(j); err != nil {
			return jobs, err
		}
		jobs, ids = append(jobs, j), append(ids, id)
	}
	text, err := o.reportScript(s)
	if err != nil {
		return jobs, err
	}
	id, err := sbatch(ctx, filepath.Join(s.Dir, "report.sh"), text, "--dependency=afterany:"+strings.Join(ids, ":"))
	if err != nil {
		return jobs, err
	}
	j := Job{Engine: Slurm, ID: id}
	return append(jobs, j), s.note(j)
}

// PrintSlurm writes the script of the first array that SubmitSlurm would submit for a plan. It
// writes nothing else.
func PrintSlurm(w io.Writer, store *experiments.Store, plan *runner.Frozen, o SlurmOptions) error {
	dir, err := filepath.Abs(filepath.Join(store.Study(plan.Study.Study), folder))
	if err != nil {
		return err
	}
	o.Program = filepath.Join(dir, programName(plan.Program))
	text, err := o.arrayScript(Submission{Dir: filepath.Join(dir, "N"), Plan: plan}, 0, len(plan.Groups))
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

func programName(digest string) string { return fmt.Sprintf("ablate-%.12s", digest) }

// keepProgram copies the program into a folder, under a name that identifies the build. A new
// build that replaces it meanwhile does not affect queued tasks.
func keepProgram(dir, program, digest string) (string, error) {
	to := filepath.Join(dir, programName(digest))
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return "", err
		}
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("keep the program that the tasks run: %w", err)
	}
	if err := experiments.WriteFile(to, text); err != nil {
		return "", err
	}
	return to, os.Chmod(to, 0o755)
}

//go:embed array.sh.tmpl
var arrayText string

//go:embed report.sh.tmpl
var reportText string

var (
	words     = template.FuncMap{"quote": quote}
	arrayTmpl = template.Must(template.New("array").Funcs(words).Parse(arrayText))
	repTmpl   = template.Must(template.New("report").Funcs(words).Parse(reportText))
)

// A script holds the values for the templates of scripts.
type script struct {
	Name    string
	Lines   []string // options of sbatch
	Setup   []string // the user's own lines
	Dir     string   // the submission's folder
	Folder  string
	Program string
	Plan    string
	Runs    string
	Device  string
	First   int // the first of the plan's groups
}

func (o SlurmOptions) script(s Submission) (script, error) {
	lines, err := o.lines(s.Plan)
	return script{
		Name: "ablate-" + s.Plan.Study.Study, Lines: lines, Setup: o.Setup, Dir: s.Dir, Folder: o.Folder, Program: o.Program,
		Plan: filepath.Join(s.Dir, planFile), Runs: o.Runs,
	}, err
}

// arrayScript returns the script for some of a plan's groups.
func (o SlurmOptions) arrayScript(s Submission, first, n int) (string, error) {
	sc, err := o.script(s)
	if err != nil {
		return "", err
	}
	array := fmt.Sprintf("0-%d", n-1)
	if o.AtOnce > 0 {
		array += fmt.Sprint("%", o.AtOnce)
	}
	sc.First, sc.Device = first, o.device(s.Plan)
	sc.Lines = append([]string{"--array=" + array}, sc.Lines...)
	return fill(arrayTmpl, sc)
}

// reportScript returns the script that writes the report. It does not need the tasks' resources.
func (o SlurmOptions) reportScript(s Submission) (string, error) {
	light := o
	light.GPUs, light.CPUs, light.Mem, light.Time = 0, 0, "", ""
	sc, err := light.script(s)
	if err != nil {
		return "", err
	}
	return fill(repTmpl, sc)
}

func fill(t *template.Template, s script) (string, error) {
	var b bytes.Buffer
	err := t.Execute(&b, s)
	return b.String(), err
}

// lines returns the options of sbatch that the user chooses.
func (o SlurmOptions) lines(plan *runner.Frozen) ([]string, error) {
	if o.GPUs > 1 && plan.Device == "auto" {
		return nil, fmt.Errorf("--gpus %d: the study does not say how a run shares them; write device: cuda:0,cuda:1 "+
			"in the study, or give each run one", o.GPUs)
	}
	var lines []string
	if o.Partition != "" {
		lines = append(lines, "--partition="+o.Partition)
	}
	warn := longestWarning
	if o.Time != "" {
		limit, err := parseTime(o.Time)
		if err != nil {
			return nil, fmt.Errorf("--time: %w", err)
		}
		lines = append(lines, "--time="+formatTime(limit))
		warn = min(warn, limit/4)
	}
	lines = append(lines, fmt.Sprintf("--signal=TERM@%d", int(warn.Seconds())))
	if o.GPUs > 0 {
		lines = append(lines, fmt.Sprintf("--gpus=%d", o.GPUs))
	}
	if o.CPUs > 0 {
		lines = append(lines, fmt.Sprintf("--cpus-per-task=%d", o.CPUs))
	}
	if o.Mem != "" {
		lines = append(lines, "--mem="+o.Mem)
	}
	lines = append(lines, o.Sbatch...)
	for _, l := range lines {
		if !strings.HasPrefix(l, "--") && !strings.HasPrefix(l, "-") || strings.ContainsAny(l, "\n\r") {
			return nil, fmt.Errorf("--sbatch %q: write an option of sbatch in one line, as in --sbatch=--account=x", l)
		}
	}
	return lines, nil
}

// longestWarning is the longest time before its limit at which a task is told to save. It is more
// than a checkpoint takes, and too short to be worth training.
const longestWarning = 2 * time.Minute

// device returns the device that tasks train on if the study does not name one.
func (o SlurmOptions) device(plan *runner.Frozen) string {
	if o.GPUs > 0 && plan.Device == "auto" {
		return "cuda:0" // the GPU that Slurm shows to the task
	}
	return plan.Device
}

var slurmTime = regexp.MustCompile(`^(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?$`)

// parseTime reads 4h or 90m, or a time limit in sbatch's notation: minutes, minutes:seconds,
// hours:minutes:seconds, days-hours and so on.
func parseTime(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= time.Minute {
		return d, nil
	}
	m := slurmTime.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is no time limit of a minute or more; write 4h, 90m, 2-12:00:00 or minutes", text)
	}
	n := make([]time.Duration, 4)
	for i, digits := range m[1:] {
		v, err := strconv.ParseUint(cmp.Or(digits, "0"), 10, 24)
		if err != nil {
			return 0, fmt.Errorf("%q is too long", text)
		}
		n[i] = time.Duration(v)
	}
	var d time.Duration
	switch {
	case m[1] != "": // days-hours[:minutes[:seconds]]
		d = n[0]*24*time.Hour + n[1]*time.Hour + n[2]*time.Minute + n[3]*time.Second
	case m[4] != "":
		d = n[1]*time.Hour + n[2]*time.Minute + n[3]*time.Second
	default:
		d = n[1]*time.Minute + n[2]*time.Second
	}
	if d < time.Minute {
		return 0, fmt.Errorf("%q is less than a minute", text)
	}
	return d, nil
}

// formatTime writes a time limit in sbatch's notation.
func formatTime(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d-%02d:%02d:%02d", s/86400, s/3600%24, s/60%60, s%60)
}

// quote quotes a word for bash.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// patience bounds the time that a request to Slurm may take.
const patience = time.Minute

// slurmTool runs one of Slurm's programs.
func slurmTool(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%s is not here: submit from a login node of a Slurm cluster", name)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// maxArray returns how many tasks an array may have.
func maxArray(ctx context.Context) (int, error) {
	out, err := slurmTool(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) != "MaxArraySize" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 1 {
			return 0, fmt.Errorf("scontrol show config: MaxArraySize is %q", strings.TrimSpace(value))
		}
		return n, nil // indexes start at 0 and are smaller than this
	}
	return 0, errors.New("scontrol show config names no MaxArraySize")
}

// sbatch saves a script, submits it and returns the job's number.
func sbatch(ctx context.Context, path, text string, options ...string) (string, error) {
	if err := experiments.WriteFile(path, []byte(text)); err != nil {
		return "", err
	}
	out, err := slurmTool(ctx, text, "sbatch", append([]string{"--parsable"}, options...)...)
	if err != nil {
		return "", err
	}
	id, _, _ := strings.Cut(strings.TrimSpace(out), ";") // the name of a cluster may follow
	if strings.Trim(id, "0123456789") != "" || id == "" {
		return "", fmt.Errorf("sbatch answered %q, which is no job's number", strings.TrimSpace(out))
	}
	return id, nil
}

// A queued task is what squeue reports about a task of an array, or about the report's job.
type queued struct {
	state, reason, node, start string
}

// squeue returns what Slurm knows about jobs, by job and index. Jobs that Slurm has forgotten are
// left out.
func squeue(ctx context.Context, ids []string) (map[string]queued, error) {
	out, err := slurmTool(ctx, "", "squeue", "--noheader", "--array", "--states=all", "--jobs="+strings.Join(ids, ","),
		"--format=%F|%K|%T|%r|%N|%S")
	if err != nil {
		if strings.Contains(err.Error(), "Invalid job id") {
			return nil, nil
		}
		return nil, err
	}
	tasks := map[string]queued{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 6 {
			return nil, fmt.Errorf("squeue: a line is %q", strings.TrimSpace(line))
		}
		tasks[f[0]+"_"+f[1]] = queued{state: f[2], reason: f[3], node: f[4], start: f[5]}
	}
	return tasks, nil
}

// ended lists the states of Slurm in which a task will not run again.
var ended = []string{"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
	"PREEMPTED", "REVOKED", "TIMEOUT"}

// live reports whether Slurm still works on a task, or will.
func (q queued) live() bool { return q.state != "" && !slices.Contains(ended, q.state) }

// cancelSlurm cancels the jobs that Slurm still works on and returns their names.
func cancelSlurm(ctx context.Context, jobs []Job) ([]string, error) {
	var ids []string
	for _, j := range jobs {
		if j.Engine == Slurm {
			ids = append(ids, j.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	tasks, err := squeue(ctx, ids)
	if err != nil {
		return nil, err
	}
	var live []string
	for key, q := range tasks {
		if id, _, _ := strings.Cut(key, "_"); q.live() && !slices.Contains(live, id) {
			live = append(live, id)
		}
	}
	if len(live) == 0 {
		return nil, nil
	}
	slices.Sort(live)
	_, err = slurmTool(ctx, "", "scancel", live...)
	return live, err
}

// Package cluster hands the runs of a study to the engine of a cluster: Slurm or Kubernetes. The
// engine starts ablate task with task numbers of a frozen plan, and the exit code tells it what to
// do next. Ablate has no queue and no agent of its own.
package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"ablate/experiments"
	"ablate/runner"
)

// A Submission is a plan that was handed to an engine, in its folder STUDY/.submit/N.
type Submission struct {
	Number int
	Dir    string
	Plan   *runner.Frozen
}

// A Job is one job of an engine: an array of tasks of a submission, or the job that writes the
// report after them.
type Job struct {
	Submission int       `json:"submission"`
	Engine     string    `json:"engine"` // slurm, kubernetes
	ID         string    `json:"id"`
	First      int       `json:"first"`  // the first of the plan's groups
	Groups     int       `json:"groups"` // 0 for the report's job
	Time       time.Time `json:"time"`
}

// The engines.
const (
	Slurm      = "slurm"
	Kubernetes = "kubernetes"
)

// Files of submissions, in a study's folder. No variant has a name that begins with a dot.
const (
	folder   = ".submit"
	jobsFile = "jobs.jsonl"
	planFile = "plan.json"
)

// ErrNone reports a study that was never submitted.
var ErrNone = errors.New("the study was not submitted")

// prepare makes the folder of a new submission and writes its plan.
func prepare(store *experiments.Store, plan *runner.Frozen) (Submission, error) {
	s := Submission{Plan: plan}
	root, err := filepath.Abs(filepath.Join(store.Study(plan.Study.Study), folder))
	if err != nil {
		return s, err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return s, err
	}
	for s.Number = 1; ; s.Number++ {
		s.Dir = filepath.Join(root, strconv.Itoa(s.Number))
		err := os.Mkdir(s.Dir, 0o755)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return s, err
		}
	}
	var text bytes.Buffer
	if err := plan.Write(&text); err != nil {
		return s, err
	}
	return s, experiments.WriteFile(filepath.Join(s.Dir, planFile), text.Bytes())
}

// note records a job that an engine has accepted.
func (s Submission) note(j Job) error {
	j.Submission, j.Time = s.Number, time.Now().UTC().Truncate(time.Second)
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(s.Dir), jobsFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(append(text, '\n'))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("note that %s job %s was submitted: %w", j.Engine, j.ID, err)
	}
	return nil
}

// maxJobs bounds, in bytes, how much of a study's job list is read.
const maxJobs = 64 << 20

// Jobs returns the jobs of a study's submissions, oldest first.
func Jobs(store *experiments.Store, study string) ([]Job, error) {
	path := filepath.Join(store.Study(study), folder, jobsFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s; ablate submit does", ErrNone, study)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	jobs, err := readJobs(io.LimitReader(f, maxJobs))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return jobs, nil
}

// readJobs reads one job per line. It ignores a last line that was cut short.
func readJobs(r io.Reader) ([]Job, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var jobs []Job
	lines := bytes.Split(text, []byte("\n"))
	for i, line := range lines[:len(lines)-1] {
		var j Job
		if err := json.Unmarshal(line, &j); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		switch {
		case j.Engine != Slurm && j.Engine != Kubernetes, j.ID == "", j.Submission < 1, j.First < 0, j.Groups < 0,
			j.Groups > maxGroups:
			return nil, fmt.Errorf("line %d: not a job of a submission", i+1)
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// maxGroups is more than any engine accepts as one array: Kubernetes takes 100,000 indexes, Slurm
// 4 million.
const maxGroups = 4_000_000

// open reads the plan of one of a study's submissions.
func open(store *experiments.Store, study string, number int) (*runner.Frozen, error) {
	return runner.OpenFrozen(filepath.Join(store.Study(study), folder, strconv.Itoa(number), planFile))
}

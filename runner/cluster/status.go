package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner"
)

// A Run holds the state of one run of a submitted study.
type Run struct {
	runner.Task
	// State is done, diverged or failed, which are final; running; waiting, in the engine's queue;
	// interrupted, if nothing works on the run; or new.
	State  string `json:"state"`
	Epoch  int    `json:"epoch"`  // completed
	Epochs int    `json:"epochs"` // of its recipe
	Node   string `json:"node,omitempty"`
	Job    string `json:"job,omitempty"` // the engine's name of its task
	Why    string `json:"why,omitempty"` // why it waits, or what went wrong
	Starts string `json:"starts,omitempty"`
}

// States of a run that records do not have.
const (
	waiting = "waiting"
	fresh   = "new"
)

// Status returns the state of each run of a submitted study. It combines the runs' records with
// what the engines report about their tasks.
func Status(ctx context.Context, store *experiments.Store, study string) ([]Run, error) {
	jobs, err := Jobs(store, study)
	if err != nil {
		return nil, err
	}
	newest, err := open(store, study, jobs[len(jobs)-1].Submission)
	if err != nil {
		return nil, err
	}
	tasks, err := engineTasks(ctx, store, study, jobs)
	if err != nil {
		return nil, err
	}
	records, problems := store.Load(study)
	recorded := map[runner.Task]experiments.Record{}
	for _, r := range records {
		recorded[runner.Task{Variant: r.Variant, Seed: r.Seed}] = r
	}
	epochs, err := epochsOf(newest)
	if err != nil {
		return nil, err
	}
	var runs []Run
	for _, t := range newest.Tasks {
		run := Run{Task: t, State: fresh, Epochs: epochs[t.Variant]}
		if r, ok := recorded[t]; ok {
			run.read(store, r)
		}
		run.join(tasks[t])
		runs = append(runs, run)
	}
	return runs, errors.Join(problems...)
}

// epochsOf returns how many epochs each variant trains.
func epochsOf(f *runner.Frozen) (map[string]int, error) {
	epochs := map[string]int{}
	for _, v := range f.Variants {
		r, err := recipe.Decode(v.Recipe)
		if err != nil {
			return nil, fmt.Errorf("plan: variant %s: %w", v.Name, err)
		}
		epochs[v.Name] = r.Train.Epochs
	}
	return epochs, nil
}

// read copies a run's record into r.
func (r *Run) read(store *experiments.Store, rec experiments.Record) {
	r.State, r.Why = string(rec.Status), rec.Error
	if n := len(rec.Attempts); n > 0 {
		r.Node = rec.Attempts[n-1].Host
	}
	if rec.Result != nil {
		r.Epoch = rec.Result.Epochs
		return
	}
	series, err := store.Metrics(rec)
	if err == nil && len(series) > 0 { // otherwise no epoch is complete
		r.Epoch = series[len(series)-1].Epoch
	}
}

// join adds what the engine reports about a run's task.
func (r *Run) join(t task) {
	r.Job = t.id
	final := experiments.Status(r.State).Final()
	switch {
	case final:
	case t.state == waiting:
		r.State, r.Why, r.Starts = waiting, t.why, t.starts
	case t.state == string(experiments.Running):
		r.State, r.Why = t.state, ""
	case r.State == string(experiments.Running): // its process is gone, or a process outside the engine works on it
		r.Why = cmp.Or(t.why, "not in a queue")
	case t.state != "" && r.State == fresh:
		r.State, r.Why = t.state, t.why
	}
	if !final {
		r.Node = cmp.Or(t.node, r.Node)
	}
}

// A task is what an engine reports about a run: waiting, running, how it ended, or nothing.
type task struct {
	id, state, why, node, starts string
}

// live reports whether the engine still works on a task, or will.
func (t task) live() bool { return t.state == waiting || t.state == string(experiments.Running) }

// engineTasks asks the engines for the tasks of a study's runs. If a run was submitted more than
// once, the task that is still alive counts, otherwise the last one.
func engineTasks(ctx context.Context, store *experiments.Store, study string,
	jobs []Job) (map[runner.Task]task, error) {
	states, err := ask(ctx, jobs)
	if err != nil {
		return nil, err
	}
	plans := map[int]*runner.Frozen{}
	tasks := map[runner.Task]task{}
	for _, j := range jobs {
		plan := plans[j.Submission]
		if plan == nil {
			if plan, err = open(store, study, j.Submission); err != nil {
				return nil, err
			}
			plans[j.Submission] = plan
		}
		for i := range j.Groups {
			t, known := states[fmt.Sprint(j.ID, "_", i)]
			if !known {
				continue
			}
			members, err := plan.Group(j.First + i)
			if err != nil {
				return nil, err
			}
			for _, m := range members {
				if m >= len(plan.Tasks) {
					return nil, fmt.Errorf("plan: group %d has task %d of %d", j.First+i, m, len(plan.Tasks))
				}
				if run := plan.Tasks[m]; t.live() || !tasks[run].live() {
					tasks[run] = t
				}
			}
		}
	}
	return tasks, nil
}

// ask asks each engine for the tasks of its jobs. The result is keyed by job and index.
func ask(ctx context.Context, jobs []Job) (map[string]task, error) {
	tasks := map[string]task{}
	var ids []string
	for _, j := range jobs {
		switch {
		case j.Groups == 0:
		case j.Engine == Slurm:
			ids = append(ids, j.ID)
		default:
			if err := askKubernetes(ctx, j, tasks); err != nil {
				return nil, err
			}
		}
	}
	if len(ids) == 0 {
		return tasks, nil
	}
	queue, err := squeue(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	for key, q := range queue {
		tasks[key] = q.task(key)
	}
	return tasks, nil
}

// task translates squeue's state into our words.
func (q queued) task(id string) task {
	t := task{id: id, node: q.node}
	switch {
	case !q.live():
		t.state, t.why = string(experiments.Interrupted), "Slurm: "+q.state
		if q.state == "COMPLETED" {
			t.state, t.why = "", ""
		}
	case q.state == "PENDING", q.state == "REQUEUED", q.state == "REQUEUE_HOLD", q.state == "SPECIAL_EXIT":
		t.state, t.why, t.starts = waiting, q.reason, q.start
		if q.start == "N/A" || q.start == "(null)" {
			t.starts = ""
		}
	default: // RUNNING, COMPLETING, SUSPENDED and others
		t.state = string(experiments.Running)
	}
	return t
}

// Cancel cancels all jobs of a study that the engines still work on, and returns the engines'
// names of them.
func Cancel(ctx context.Context, store *experiments.Store, study string) ([]string, error) {
	jobs, err := Jobs(store, study)
	if err != nil {
		return nil, err
	}
	cancelled, err := cancelSlurm(ctx, jobs)
	if err != nil {
		return cancelled, err
	}
	deleted, err := cancelKubernetes(ctx, jobs)
	return append(cancelled, deleted...), err
}

package cmd

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/cluster"
	"ablate/runner/device"
)

type submitOptions struct {
	selection
	program    string
	dryRun     bool
	slurm      bool
	kubernetes bool
}

func newSubmit() *cobra.Command {
	var o submitOptions
	c := &cobra.Command{
		Use:   "submit STUDY",
		Short: "Hand a study's runs to Slurm or Kubernetes",
		Example: `  ablate submit cifar10-norm --slurm --time 4h --gpus 1 --at-once 8
  ablate submit cifar10-norm --slurm --dry-run
  ablate submit cifar10-norm --kubernetes --image registry/ablate --claim work --gpus 1 > job.yaml`,
		Long: `submit freezes the runs of a study that are not done, as ablate plan does, and
hands them to the engine of a cluster.

--slurm submits an array, and a job that writes the table when the array has
ended. A task that is preempted, reaches its time limit or loses its node saves
what it can and is queued again; it continues on any node. --kubernetes prints
an Indexed Job for kubectl apply. Short runs are packed several to a task.

ablate status STUDY says where the runs are, ablate cancel STUDY takes them back,
and the same submit command hands over what is still not done. All flags but
--dry-run are also keys of ablate.yaml, under slurm: or kubernetes:, and
slurm: {setup: [module load cuda]} are lines before each task. docs/cluster.md
says more.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE:              func(c *cobra.Command, args []string) error { return submit(c, args[0], o) },
	}
	o.selection.flags(c)
	f := c.Flags()
	f.BoolVar(&o.slurm, "slurm", false, "submit to Slurm")
	f.BoolVar(&o.kubernetes, "kubernetes", false, "print a Job of Kubernetes")
	c.MarkFlagsMutuallyExclusive("slurm", "kubernetes")
	c.MarkFlagsOneRequired("slurm", "kubernetes")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be submitted, and write nothing")
	f.StringVar(&o.program, "program", "", programUsage)
	f.Int("at-once", 0, "run at most `N` tasks at a time")
	f.Int("pack", 0, "train `N` runs in each task; without the flag as many short ones as take some minutes")
	f.Int("gpus", 0, "give each task `N` GPUs")
	f.Int("cpus", 0, "give each task `N` CPUs")
	f.String("mem", "", "give each task `MEMORY`: 16G for Slurm, 16Gi for Kubernetes")
	f.String("time", "", "Slurm: limit each task to `TIME`, such as 4h; what is not done by then is queued again")
	f.String("partition", "", "Slurm: submit to `PARTITION`")
	f.StringArray("sbatch", nil, "Slurm: another `OPTION` of sbatch, such as --account=x (repeatable)")
	f.String("image", "", "Kubernetes: the `IMAGE` that holds ablate")
	f.String("claim", "", "Kubernetes: the persistent volume `CLAIM` with the data and the records")
	f.String("mount", "/work", "Kubernetes: mount the claim at `FOLDER`, where tasks run")
	f.String("queue", "", "Kubernetes: wait in Kueue's `QUEUE`")
	return c
}

func submit(c *cobra.Command, name string, o submitOptions) error {
	settings, err := settings(c)
	if err != nil {
		return err
	}
	if err := o.fits(c); err != nil {
		return err
	}
	store, err := experiments.Open(settings.Runs)
	if err != nil {
		return err
	}
	all, err := o.load(name)
	if err != nil {
		return err
	}
	now, err := all.next(store, c.ErrOrStderr())
	if err != nil {
		return err
	}
	digest, err := runner.DigestProgram(o.program)
	if err != nil {
		return err
	}
	plan, err := runner.Freeze(now.study, now.declared, now.jobs, digest)
	if err != nil {
		return err
	}
	left, err := plan.Unfinished(store)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		_, err := fmt.Fprintf(c.OutOrStdout(), "all %d runs are done: ablate report %s\n", len(plan.Tasks), name)
		return err
	}
	if o.kubernetes {
		plan.Pack(left, max(settings.Kubernetes.Pack, 1), nil, 0)
		return submitKubernetes(c, store, plan, settings, o)
	}
	if err := packShort(c, now.study, plan, left, settings); err != nil {
		return err
	}
	return submitSlurm(c, store, plan, settings, o)
}

// fits refuses flags of the other engine, and numbers that no engine takes.
func (o submitOptions) fits(c *cobra.Command) error {
	theirs, engine := []string{"image", "claim", "mount", "queue"}, "--slurm"
	if o.kubernetes {
		theirs, engine = []string{"time", "partition", "sbatch"}, "--kubernetes"
	}
	for _, f := range theirs {
		if c.Flags().Changed(f) {
			return fmt.Errorf("--%s does not go with %s", f, engine)
		}
	}
	for _, f := range []string{"at-once", "pack", "gpus", "cpus"} {
		if strings.HasPrefix(c.Flag(f).Value.String(), "-") {
			return fmt.Errorf("--%s %s: a number from 0 is possible", f, c.Flag(f).Value)
		}
	}
	return nil
}

// Bounds on how many short runs go into a task.
const (
	packedTime  = 10 * time.Minute // that a task should take: starting one costs a cluster some seconds
	packedTasks = 8                // that there should be all the same, so that a cluster has something to divide
)

// packShort groups the tasks that are left. Where a run's time can be measured here, short ones go together.
func packShort(c *cobra.Command, study *configs.Study, plan *runner.Frozen, left []int, s configs.Settings) error {
	if s.Slurm.Pack > 0 || s.Slurm.GPUs > 0 || strings.HasPrefix(study.Device, "cuda") {
		plan.Pack(left, max(s.Slurm.Pack, 1), nil, 0)
		return nil
	}
	devices := device.NewPool("cpu", s.Slurm.CPUs)
	defer devices.Close()
	predicted, err := runner.Predict(c.Context(), study, devices.Get)
	if c.Context().Err() != nil {
		return interrupted(c, c.Context().Err())
	}
	if err != nil {
		complain(c.ErrOrStderr(), fmt.Errorf("each run is a task of its own: how long one takes is not known here: %w", err))
		plan.Pack(left, 1, nil, 0)
		return nil
	}
	takes := map[string]time.Duration{}
	for i, v := range study.Variants {
		takes[v.Name] = predicted[i].Run
	}
	var all float64
	for _, i := range left {
		all += takes[plan.Tasks[i].Variant].Seconds()
	}
	share := all / float64(max(s.Slurm.AtOnce, packedTasks))
	plan.Pack(left, 0, takes, time.Duration(math.Min(share, packedTime.Seconds())*float64(time.Second)))
	return nil
}

func submitSlurm(c *cobra.Command, store *experiments.Store, plan *runner.Frozen, s configs.Settings,
	o submitOptions) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	runs, err := filepath.Abs(s.Runs)
	if err != nil {
		return err
	}
	options := cluster.SlurmOptions{Slurm: s.Slurm, Program: o.program, Runs: runs, Folder: here}
	if o.dryRun {
		return cluster.PrintSlurm(c.OutOrStdout(), store, plan, options)
	}
	if _, err := store.Declare(plan.Study); err != nil {
		return err
	}
	jobs, err := cluster.SubmitSlurm(c.Context(), store, plan, options)
	for _, j := range jobs {
		if j.Groups == 0 {
			fmt.Fprintf(c.OutOrStdout(), "job %s writes the report after them\n", j.ID)
			continue
		}
		fmt.Fprintf(c.OutOrStdout(), "job %s: %d tasks\n", j.ID, j.Groups)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%d runs of %s are submitted: ablate status %s\n", countTasks(plan),
		plan.Study.Study, plan.Study.Study)
	return err
}

// countTasks is how many runs are in a plan's groups.
func countTasks(plan *runner.Frozen) (n int) {
	for i := range plan.Groups {
		tasks, _ := plan.Group(i)
		n += len(tasks)
	}
	return n
}

func submitKubernetes(c *cobra.Command, store *experiments.Store, plan *runner.Frozen, s configs.Settings,
	o submitOptions) error {
	var text bytes.Buffer
	name, err := cluster.WriteKubernetes(&text, plan, s.Kubernetes)
	if err != nil {
		return err
	}
	if !o.dryRun {
		if err := cluster.NoteKubernetes(store, plan, name); err != nil {
			return err
		}
	}
	_, err = c.OutOrStdout().Write(text.Bytes())
	return err
}

func newStatus() *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "status STUDY",
		Short: "Say where the runs of a submitted study are",
		Example: `  ablate status cifar10-norm
  ablate status cifar10-norm --all
  ablate status cifar10-norm --json`,
		Long: `status joins what is recorded of a study's runs with what Slurm or Kubernetes
says of their tasks: how far each is, on which node, why it waits and when it
is expected to start. Runs that are done are only counted, unless --all asks
for them.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			study, _, err := order(args[0])
			if err != nil {
				return err
			}
			runs, err := cluster.Status(c.Context(), store, study)
			if err != nil {
				return interrupted(c, err)
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), runs)
			}
			return printStatus(c, runs, all)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list the runs that are done, too")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, of all runs")
	return c
}

func printStatus(c *cobra.Command, runs []cluster.Run, all bool) error {
	rows := [][]string{{"run", "state", "epoch", "node", "why", "starts"}}
	counts, order := map[string]int{}, []string{}
	for _, r := range runs {
		if counts[r.State]++; counts[r.State] == 1 {
			order = append(order, r.State)
		}
		if r.State == string(experiments.Done) && !all {
			continue
		}
		epoch := "–"
		if r.Epochs > 0 {
			epoch = fmt.Sprintf("%d/%d", r.Epoch, r.Epochs)
		}
		row := []string{r.Task.String(), r.State, epoch, r.Node, r.Why, r.Starts}
		for i, cell := range row {
			if cell == "" {
				row[i] = "–"
			}
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		if err := printTable(c.OutOrStdout(), rows, "llrlll"); err != nil {
			return err
		}
	}
	var words []string
	for _, state := range order {
		words = append(words, fmt.Sprintf("%d %s", counts[state], state))
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%d runs: %s\n", len(runs), strings.Join(words, ", "))
	return err
}

func newCancel() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel STUDY",
		Short:   "Take a submitted study back from Slurm or Kubernetes",
		Example: `  ablate cancel cifar10-norm`,
		Long: `cancel cancels all jobs of a study that the engine still works on. Runs that are
being trained save where they are, and the next submit, or ablate run, goes on.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			study, _, err := order(args[0])
			if err != nil {
				return err
			}
			cancelled, err := cluster.Cancel(c.Context(), store, study)
			if err != nil {
				return interrupted(c, err)
			}
			if len(cancelled) == 0 {
				_, err = fmt.Fprintln(c.OutOrStdout(), "nothing of it is queued or running")
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "cancelled", strings.Join(cancelled, ", "))
			return err
		},
	}
}

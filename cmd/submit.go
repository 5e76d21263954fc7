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
		Short: "Submit a study's runs to Slurm or Kubernetes",
		Example: `  ablate submit cifar10-norm --slurm --time 4h --gpus 1 --at-once 8
  ablate submit cifar10-norm --slurm --dry-run
  ablate submit cifar10-norm --kubernetes --image "$IMAGE" --claim work --gpus 1 > job.yaml`,
		Long: `submit freezes the runs of a study that are not done, like ablate plan, and submits
them to a cluster.

--slurm submits an array, and a job that writes the table when the array has ended.
A task that is preempted, reaches its time limit or loses its node saves what it can,
is queued again, and continues on any node. --kubernetes prints an Indexed Job for
kubectl apply. Several short runs go into one task.

ablate status STUDY reports where the runs are, ablate cancel STUDY cancels them, and
the same submit command submits what is still not done. All flags except --dry-run
are also keys of ablate.yaml, under slurm: or kubernetes:. There,
slurm: {setup: [module load cuda]} adds lines before each task. docs/cluster.md
explains more.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE:              func(c *cobra.Command, args []string) error { return submit(c, args[0], o) },
	}
	o.selection.flags(c)
	f := c.Flags()
	f.BoolVar(&o.slurm, "slurm", false, "submit to Slurm")
	f.BoolVar(&o.kubernetes, "kubernetes", false, "print a Kubernetes Job")
	c.MarkFlagsMutuallyExclusive("slurm", "kubernetes")
	c.MarkFlagsOneRequired("slurm", "kubernetes")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be submitted, and write nothing")
	f.StringVar(&o.program, "program", "", programUsage)
	f.Int("at-once", 0, "run at most `N` tasks at a time")
	f.Int("pack", 0, "train `N` runs in each task (default: as many as take about ten minutes)")
	f.Int("gpus", 0, "give each task `N` GPUs")
	f.Int("cpus", 0, "give each task `N` CPUs")
	f.String("mem", "", "give each task `MEMORY`: 16G for Slurm, 16Gi for Kubernetes")
	f.String("time", "", "Slurm: limit each task to `TIME`, such as 4h; unfinished tasks are queued again")
	f.String("partition", "", "Slurm: submit to `PARTITION`")
	f.StringArray("sbatch", nil, "Slurm: another `OPTION` of sbatch, such as --account=x (repeatable)")
	f.String("image", "", "Kubernetes: the `IMAGE` that holds ablate")
	f.String("claim", "", "Kubernetes: the persistent volume `CLAIM` with the data and the records")
	f.String("mount", "/claim", "Kubernetes: mount the claim at `FOLDER`, where tasks run")
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

// fits refuses flags of the other batch system, and numbers that neither accepts.
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
			return fmt.Errorf("--%s %s: want a number of at least 0", f, c.Flag(f).Value)
		}
	}
	return nil
}

// Limits on how many short runs go into a task.
const (
	packedTime  = 10 * time.Minute // a task should take this long, since starting one costs some seconds
	packedTasks = 8                // but there should be this many, so that a cluster can divide them
)

// packShort groups the remaining tasks. If the time of a run can be measured here, short runs share
// a task.
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
		complain(c.ErrOrStderr(), fmt.Errorf("each run becomes its own task, because its time is unknown: %w", err))
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
	_, err = fmt.Fprintf(c.OutOrStdout(), "submitted %d runs of %s; ablate status %s shows them\n", countTasks(plan),
		plan.Study.Study, plan.Study.Study)
	return err
}

// countTasks returns the number of runs in a plan's groups.
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
		Short: "Show where the runs of a submitted study are",
		Example: `  ablate status cifar10-norm
  ablate status cifar10-norm --all
  ablate status cifar10-norm --json`,
		Long: `status combines the records of a study's runs with what Slurm or Kubernetes
reports about their tasks: how far each run is, on which node, why it waits and when
it is expected to start. Runs that are done are only counted, unless you use --all.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE: func(c *cobra.Command, args []string) error {
			store, study, err := submitted(c, args[0])
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
	c.Flags().BoolVar(&all, "all", false, "also list the runs that are done")
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

// submitted is the name of a study and the folder of its runs.
func submitted(c *cobra.Command, name string) (*experiments.Store, string, error) {
	store, err := openStore(c)
	if err != nil {
		return nil, "", err
	}
	study, _, err := order(name)
	return store, study, err
}

func newCancel() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel STUDY",
		Short:   "Cancel the jobs of a submitted study",
		Example: `  ablate cancel cifar10-norm`,
		Long: `cancel cancels all jobs of a study that are queued or running. Runs in training are
saved first; the next submit, or ablate run, continues them.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE: func(c *cobra.Command, args []string) error {
			store, study, err := submitted(c, args[0])
			if err != nil {
				return err
			}
			cancelled, err := cluster.Cancel(c.Context(), store, study)
			if err != nil {
				return interrupted(c, err)
			}
			if len(cancelled) == 0 {
				_, err = fmt.Fprintln(c.OutOrStdout(), "nothing is queued or running")
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "cancelled", strings.Join(cancelled, ", "))
			return err
		},
	}
}

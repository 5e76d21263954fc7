package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"ablate/configs"
	"ablate/experiments"
	"ablate/recipe"
)

// frozenVersion is the version of the plan's file format.
const frozenVersion = 1

// A Frozen is a plan of a study that other processes work on, now or later, here or on other
// machines. Everything in it is resolved, so later edits of the study do not change what they
// train.
type Frozen struct {
	Version    int                     `json:"version"`
	Program    string                  `json:"program_sha256"` // the file of the program that is to train
	Title      string                  `json:"title,omitempty"`
	Study      experiments.Declaration `json:"study"`
	Device     string                  `json:"device"`
	Checkpoint string                  `json:"checkpoint"`
	LogEvery   int                     `json:"log_every,omitempty"`
	Variants   []FrozenVariant         `json:"variants"` // the first one is the baseline
	Tasks      []Task                  `json:"tasks"`    // in the order in which one process would train them
	// Groups holds the tasks that one task of an engine trains, as ParseTasks reads them. If it is
	// empty, each task of an engine trains one task.
	Groups []string `json:"groups,omitempty"`
}

// A FrozenVariant is a variant with its recipe in the form that records have.
type FrozenVariant struct {
	Name      string          `json:"name"`
	Ablations []string        `json:"ablations,omitempty"`
	Edited    bool            `json:"edited,omitempty"`
	Device    string          `json:"device,omitempty"`
	Changes   []string        `json:"changes,omitempty"`
	Recipe    json.RawMessage `json:"recipe"`
}

// A Task is one run of a plan.
type Task struct {
	Variant string `json:"variant"`
	Seed    uint64 `json:"seed"`
}

func (t Task) String() string { return fmt.Sprintf("%s/%d", t.Variant, t.Seed) }

// Freeze makes a plan of a study's jobs. program is the SHA-256 of the program that is to train
// them.
func Freeze(s *configs.Study, declared experiments.Declaration, jobs []Job, program string) (*Frozen, error) {
	f := &Frozen{
		Version: frozenVersion, Program: program, Title: s.Title, Study: declared, Device: s.Device,
		Checkpoint: s.Checkpoint.String(), LogEvery: s.LogEvery,
	}
	for _, v := range s.Variants {
		text, err := json.Marshal(v.Recipe)
		if err != nil {
			return nil, fmt.Errorf("freeze the recipe of %s: %w", v.Name, err)
		}
		f.Variants = append(f.Variants, FrozenVariant{
			Name: v.Name, Ablations: v.Ablations, Edited: v.Edited, Device: v.Device, Changes: v.Changes, Recipe: text,
		})
	}
	for _, j := range jobs {
		f.Tasks = append(f.Tasks, Task{j.Variant.Name, j.Seed})
	}
	return f, nil
}

// Write writes a plan in the format of ReadFrozen: one variant per line, then one task per line.
func (f *Frozen) Write(w io.Writer) error {
	var b bytes.Buffer
	head, err := json.Marshal(Frozen{
		Version: f.Version, Program: f.Program, Title: f.Title, Study: f.Study, Device: f.Device, Checkpoint: f.Checkpoint,
		LogEvery: f.LogEvery,
	})
	if err != nil {
		return err
	}
	b.Write(bytes.TrimSuffix(head, []byte(`"variants":null,"tasks":null}`)))
	if err := writeList(&b, "variants", f.Variants); err != nil {
		return err
	}
	b.WriteString(",\n")
	if err := writeList(&b, "tasks", f.Tasks); err != nil {
		return err
	}
	if len(f.Groups) > 0 {
		b.WriteString(",\n")
		if err := writeList(&b, "groups", f.Groups); err != nil {
			return err
		}
	}
	b.WriteString("}\n")
	_, err = w.Write(b.Bytes())
	return err
}

func writeList[T any](b *bytes.Buffer, key string, list []T) error {
	fmt.Fprintf(b, "%q:[", key)
	for i, v := range list {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(text)
	}
	b.WriteByte(']')
	return nil
}

// maxFrozen bounds, in bytes, how much of a plan is read.
const maxFrozen = 256 << 20

// OpenFrozen reads a plan's file.
func OpenFrozen(path string) (*Frozen, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	defer file.Close()
	f, err := ReadFrozen(io.LimitReader(file, maxFrozen))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// ReadFrozen reads a plan and checks that its tasks belong to its variants.
func ReadFrozen(r io.Reader) (*Frozen, error) {
	f := new(Frozen)
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("no plan of ablate plan: %w", err)
	}
	switch {
	case f.Version != frozenVersion:
		return nil, fmt.Errorf("a plan of version %d; this ablate reads version %d", f.Version, frozenVersion)
	case len(f.Tasks) == 0:
		return nil, errors.New("the plan has no tasks")
	case f.Study.Study == "":
		return nil, errors.New("the plan does not name its study")
	}
	known := map[string]bool{}
	for _, v := range f.Variants {
		known[v.Name] = true
	}
	for i, t := range f.Tasks {
		if !known[t.Variant] {
			return nil, fmt.Errorf("task %d is of variant %.100q, which the plan does not have", i, t.Variant)
		}
	}
	return f, nil
}

// Thaw returns the study and the jobs of the given tasks, which are numbered from 0.
func (f *Frozen) Thaw(tasks []int) (*configs.Study, []Job, error) {
	s := &configs.Study{
		Name: f.Study.Study, Title: f.Title, Seeds: f.Study.Seeds, Device: f.Device, LogEvery: f.LogEvery,
		Report: configs.Report{Metric: f.Study.Metric, At: f.Study.At},
	}
	var err error
	if s.Checkpoint, err = configs.ParseInterval(f.Checkpoint); err != nil {
		return nil, nil, fmt.Errorf("plan: checkpoint: %w", err)
	}
	wanted := map[string]bool{}
	for _, i := range tasks {
		if i < 0 || i >= len(f.Tasks) {
			return nil, nil, fmt.Errorf("task %d: the plan has tasks 0 to %d", i, len(f.Tasks)-1)
		}
		wanted[f.Tasks[i].Variant] = true
	}
	jobs := map[string]Job{}
	for _, v := range f.Variants {
		if !wanted[v.Name] {
			continue
		}
		j, err := v.thaw()
		if err != nil {
			return nil, nil, fmt.Errorf("plan: variant %s: %w", v.Name, err)
		}
		jobs[v.Name] = j
		s.Variants = append(s.Variants, j.Variant)
	}
	var list []Job
	for _, i := range tasks {
		j := jobs[f.Tasks[i].Variant]
		j.Seed = f.Tasks[i].Seed
		list = append(list, j)
	}
	return s, list, nil
}

// Group returns the tasks of group i, counted from 0. A plan without groups has one group for each
// task.
func (f *Frozen) Group(i int) ([]int, error) {
	n := len(f.Groups)
	if n == 0 {
		n = len(f.Tasks)
	}
	switch {
	case i < 0 || i >= n:
		return nil, fmt.Errorf("group %d: the plan has groups 0 to %d", i, n-1)
	case len(f.Groups) == 0:
		return []int{i}, nil
	}
	tasks, err := ParseTasks(f.Groups[i : i+1])
	if err != nil {
		return nil, fmt.Errorf("plan: group %d: %w", i, err)
	}
	return tasks, nil
}

// Pack makes groups of tasks, in order. Each has n tasks or, if n is 0, as many as together take
// about goal, by the time that a run of each variant takes. A run of unknown duration has a group
// of its own.
func (f *Frozen) Pack(tasks []int, n int, takes map[string]time.Duration, goal time.Duration) {
	f.Groups = nil
	var group []int
	var sum time.Duration
	for _, i := range tasks {
		t, known := takes[f.Tasks[i].Variant]
		full := n > 0 && len(group) == n || n == 0 && (!known || sum+t > goal)
		if full && len(group) > 0 {
			f.Groups = append(f.Groups, FormatTasks(group))
			group, sum = nil, 0
		}
		if group, sum = append(group, i), sum+t; n == 0 && !known {
			sum = goal
		}
	}
	if len(group) > 0 {
		f.Groups = append(f.Groups, FormatTasks(group))
	}
}

func (v FrozenVariant) thaw() (Job, error) {
	r, err := recipe.Decode(v.Recipe)
	if err != nil {
		return Job{}, err
	}
	if err := r.Validate(); err != nil {
		return Job{}, err
	}
	cost, err := costOf(r)
	return Job{Cost: cost, Variant: configs.Variant{
		Name: v.Name, Ablations: v.Ablations, Edited: v.Edited, Device: v.Device, Changes: v.Changes, Recipe: r,
	}}, err
}

// ParseTasks reads task numbers in the notation 7, 7-9 or 1,4-6. The result has no duplicates.
func ParseTasks(words []string) ([]int, error) {
	var tasks []int
	seen := map[int]bool{}
	for _, word := range strings.Split(strings.Join(words, ","), ",") {
		from, to, isRange := strings.Cut(word, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || first < 0 || last < first || last-first > maxTasks {
			return nil, fmt.Errorf("tasks %q: write numbers from 0, or ranges of them, as in 3 or 0-3,8", word)
		}
		for i := first; i <= last; i++ {
			if !seen[i] {
				tasks = append(tasks, i)
			}
			seen[i] = true
		}
	}
	return tasks, nil
}

// maxTasks is more than any plan has: the numbers of variants and seeds are bounded, too.
const maxTasks = 1 << 24

// FormatTasks writes task numbers in the notation of ParseTasks.
func FormatTasks(tasks []int) string {
	var words []string
	for i := 0; i < len(tasks); {
		j := i
		for j+1 < len(tasks) && tasks[j+1] == tasks[j]+1 {
			j++
		}
		word := strconv.Itoa(tasks[i])
		if j > i {
			word += "-" + strconv.Itoa(tasks[j])
		}
		words = append(words, word)
		i = j + 1
	}
	return strings.Join(words, ",")
}

// ErrProgram reports a plan that was made for another build of ablate, whose weights may differ.
var ErrProgram = errors.New("the plan is for another build of ablate")

// CheckProgram returns an error unless program is the one that the plan was made for.
func (f *Frozen) CheckProgram(program string) error {
	if f.Program == program {
		return nil
	}
	return fmt.Errorf("%w (sha256 %.12s…, this is %.12s…): train with that program, or make the plan again", ErrProgram,
		f.Program, program)
}

// DigestProgram returns the SHA-256 of a program's file, or of this program's file if path is
// empty.
func DigestProgram(path string) (string, error) {
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return "", fmt.Errorf("find this program's file: %w", err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// Unfinished returns the tasks of a plan that are not done in a store. It returns an error at once
// if a run has another recipe, instead of letting every task fail later.
func (f *Frozen) Unfinished(store *experiments.Store) ([]int, error) {
	identities := map[string]string{}
	for _, v := range f.Variants {
		j, err := v.thaw()
		if err != nil {
			return nil, fmt.Errorf("plan: variant %s: %w", v.Name, err)
		}
		if identities[v.Name], err = j.Variant.Recipe.Identity(); err != nil {
			return nil, err
		}
	}
	records, _ := store.Load(f.Study.Study) // each run reports unreadable records when it begins
	type state struct{ done, changed bool }
	states := map[Task]state{}
	for _, r := range records {
		today := r.Identity
		if want := identities[r.Variant]; today != want {
			today, _ = identify(r.Recipe)
		}
		states[Task{r.Variant, r.Seed}] = state{r.Status.Final(), today != identities[r.Variant]}
	}
	var left []int
	for i, t := range f.Tasks {
		switch s := states[t]; {
		case s.changed:
			return nil, fmt.Errorf("%s of %s: %w: the recipe has changed since; give the study another name, or "+
				"move the old run aside with ablate run --fresh --only %s", t, f.Study.Study, experiments.ErrChanged, t)
		case !s.done:
			left = append(left, i)
		}
	}
	return slices.Clip(left), nil
}

// Digest returns the SHA-256 of a plan in the format of Write.
func Digest(f *Frozen) (string, error) {
	h := sha256.New()
	if err := f.Write(h); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

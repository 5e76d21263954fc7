package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	_ "embed"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner"
)

// maxConfigMap is the largest plan that fits into a ConfigMap, in bytes: 1 MiB, less what
// surrounds the plan.
const maxConfigMap = 1<<20 - 4096

// maxIndexes is how many indexes a Job may have if it counts the failures of each (kubernetes.io,
// Job).
const maxIndexes = 100_000

//go:embed job.yaml.tmpl
var jobText string

// Every value of the template is written as a JSON string or number, which YAML reads as such.
var jobTmpl = template.Must(template.New("job").Funcs(template.FuncMap{"json": jsonText}).Parse(jobText))

func jsonText(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

// A manifest holds the values for the template of a Job.
type manifest struct {
	configs.Kubernetes
	Name        string
	Plan        string
	Completions int
	Parallelism int
	Args        []string
}

var (
	quantity = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?([EPTGMK]i?|m|k)?$`)
	label    = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	odd      = regexp.MustCompile(`[^a-z0-9]+`)
)

// WriteKubernetes writes the ConfigMap of a plan and the Job that trains its groups, and returns the Job's name.
func WriteKubernetes(w io.Writer, plan *runner.Frozen, o configs.Kubernetes) (string, error) {
	switch {
	case o.Image == "":
		return "", errors.New("--image: name an image that holds this ablate; docs/cluster.md shows how to make one")
	case o.Claim == "":
		return "", errors.New("--claim: name the persistent volume claim that holds the data and keeps the records")
	case !strings.HasPrefix(o.Mount, "/"):
		return "", fmt.Errorf("--mount %s: write a path from the root", o.Mount)
	case o.Mem != "" && !quantity.MatchString(o.Mem):
		return "", fmt.Errorf("--mem %s: write an amount of memory as Kubernetes does, such as 16Gi", o.Mem)
	case o.Queue != "" && !label.MatchString(o.Queue):
		return "", fmt.Errorf("--queue %s: it cannot be the name of a queue", o.Queue)
	case len(plan.Groups) > maxIndexes:
		return "", fmt.Errorf("%d tasks; a Job has at most %d: put several runs into each with --pack", len(plan.Groups),
			maxIndexes)
	case o.GPUs > 1 && plan.Device == "auto":
		return "", fmt.Errorf("--gpus %d: the study does not say how a run shares them; write device: cuda:0,cuda:1 "+
			"in the study, or give each run one", o.GPUs)
	}
	var text bytes.Buffer
	if err := plan.Write(&text); err != nil {
		return "", err
	}
	if text.Len() > maxConfigMap {
		return "", fmt.Errorf("the plan has %d bytes, a ConfigMap at most %d: submit fewer variants or seeds at a time, "+
			"with --variants and --set seeds=[…]", text.Len(), maxConfigMap)
	}
	digest, err := runner.Digest(plan)
	if err != nil {
		return "", err
	}
	device := plan.Device
	if device == "auto" && o.GPUs > 0 {
		device = "cuda:0"
	}
	m := manifest{
		Kubernetes: o, Name: jobName(plan.Study.Study, digest), Plan: text.String(),
		Completions: len(plan.Groups), Parallelism: len(plan.Groups),
		Args: []string{"task", "/plan/" + planFile, "--group", "$(JOB_COMPLETION_INDEX)", "--runs", "runs",
			"--device", device, "--threads", strconv.Itoa(o.CPUs)},
	}
	if o.AtOnce > 0 {
		m.Parallelism = min(o.AtOnce, m.Completions)
	}
	return m.Name, jobTmpl.Execute(w, m)
}

// jobName names a Job after its study and plan. Pods append their index and some letters to it,
// and a host name may have at most 63 characters.
func jobName(study, digest string) string {
	name := strings.Trim(odd.ReplaceAllString(study, "-"), "-")
	return strings.TrimSuffix(fmt.Sprintf("ablate-%.30s", name), "-") + "-" + digest[:8]
}

// NoteKubernetes records that a plan was rendered as a Job, so that status and cancel find it.
func NoteKubernetes(store *experiments.Store, plan *runner.Frozen, name string) error {
	s, err := prepare(store, plan)
	if err != nil {
		return err
	}
	return s.note(Job{Engine: Kubernetes, ID: name, Groups: len(plan.Groups)})
}

// kubectl runs kubectl.
func kubectl(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := exec.CommandContext(ctx, "kubectl", args...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("kubectl is not here: it is how ablate asks Kubernetes")
	}
	if err != nil {
		return nil, fmt.Errorf("kubectl %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

// A jobStatus holds the fields of a Job (batch/v1) that we read.
type jobStatus struct {
	Spec struct {
		Suspend bool `json:"suspend"`
	} `json:"spec"`
	Status struct {
		CompletedIndexes string `json:"completedIndexes"`
		FailedIndexes    string `json:"failedIndexes"`
		Conditions       []struct {
			Type, Status, Reason, Message string
		} `json:"conditions"`
	} `json:"status"`
}

// A podList holds the fields of a Job's pods (v1) that we read.
type podList struct {
	Items []pod `json:"items"`
}

type pod struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase      string `json:"phase"`
		Conditions []struct {
			Type, Status, Reason, Message string
		} `json:"conditions"`
	} `json:"status"`
}

// indexAnnotation is the annotation that holds the index of a pod of an Indexed Job.
const indexAnnotation = "batch.kubernetes.io/job-completion-index"

// askKubernetes asks for a Job and its pods. A Job that does not exist, or does not exist yet, has
// no tasks.
func askKubernetes(ctx context.Context, j Job, tasks map[string]task) error {
	text, err := kubectl(ctx, "get", "job", j.ID, "--output=json", "--ignore-not-found")
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return err
	}
	pods, err := kubectl(ctx, "get", "pods", "--selector=batch.kubernetes.io/job-name="+j.ID, "--output=json")
	if err != nil {
		return err
	}
	return readKubernetes(text, pods, j, tasks)
}

// readKubernetes reads kubectl's output about a Job and its pods.
func readKubernetes(job, pods []byte, j Job, tasks map[string]task) error {
	var s jobStatus
	if err := json.Unmarshal(job, &s); err != nil {
		return fmt.Errorf("kubectl get job %s: %w", j.ID, err)
	}
	var list podList
	if err := json.Unmarshal(pods, &list); err != nil {
		return fmt.Errorf("kubectl get pods of %s: %w", j.ID, err)
	}
	over, why := s.over()
	for i := range j.Groups {
		t := task{id: fmt.Sprint(j.ID, "_", i), state: waiting, why: why}
		if over {
			t.state = string(experiments.Failed)
		}
		tasks[t.id] = t
	}
	for _, p := range list.Items {
		id := fmt.Sprint(j.ID, "_", p.Metadata.Annotations[indexAnnotation])
		if t, ok := tasks[id]; ok && (p.Status.Phase == "Running" || p.Status.Phase == "Pending") {
			tasks[id] = p.task(t)
		}
	}
	for indexes, state := range map[string]string{
		s.Status.CompletedIndexes: string(experiments.Done), s.Status.FailedIndexes: string(experiments.Failed),
	} {
		if indexes == "" {
			continue
		}
		list, err := runner.ParseTasks([]string{indexes}) // 0-3,5: the notation of our own task numbers
		if err != nil {
			return fmt.Errorf("kubectl get job %s: %w", j.ID, err)
		}
		for _, i := range list {
			id := fmt.Sprint(j.ID, "_", i)
			tasks[id] = task{id: id, state: state}
		}
	}
	return nil
}

// over reports whether a Job has ended, and why; or why it waits.
func (s jobStatus) over() (over bool, why string) {
	if s.Spec.Suspend {
		why = "suspended"
	}
	for _, c := range s.Status.Conditions {
		if c.Status == "True" && (c.Type == "Failed" || c.Type == "Complete") {
			return true, strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
	}
	return false, why
}

// task translates a pod's state into our words.
func (p pod) task(t task) task {
	t.node = p.Spec.NodeName
	if p.Status.Phase == "Running" {
		t.state, t.why = string(experiments.Running), ""
		return t
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			t.why = strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
	}
	return t
}

// cancelKubernetes deletes the Jobs that exist, with their plans, and returns their names.
func cancelKubernetes(ctx context.Context, jobs []Job) ([]string, error) {
	var gone []string
	for _, j := range jobs {
		if j.Engine != Kubernetes {
			continue
		}
		out, err := kubectl(ctx, "delete", "job/"+j.ID, "configmap/"+j.ID, "--ignore-not-found", "--wait=false",
			"--output=name")
		if err != nil {
			return gone, err
		}
		if len(bytes.TrimSpace(out)) > 0 {
			gone = append(gone, j.ID)
		}
	}
	return gone, nil
}

package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// A kubelet runs the pods of some nodes as processes of this machine, each with its own root, process table and host
// name. It replaces a real kubelet and its container runtime; everything above them is Kubernetes itself.
type kubelet struct {
	t       *testing.T
	client  *kubernetes.Clientset
	nodes   map[string]bool
	folder  string // holds the root and the output of each container
	program string // the image: /ablate
	claim   string // the volume of every claim

	mu   sync.Mutex
	pods map[types.UID]*container
}

// A container is the process of a pod.
type container struct {
	name, node string
	process    *exec.Cmd
	told       bool // it was asked to end
}

// register adds the nodes to the cluster, each with two CPUs.
func (k *kubelet) register(ctx context.Context, names ...string) error {
	for _, name := range names {
		k.nodes[name] = true
		has := v1.ResourceList{
			"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi"), "pods": resource.MustParse("1"),
		}
		ready := v1.NodeCondition{Type: v1.NodeReady, Status: v1.ConditionTrue, LastHeartbeatTime: meta.Now()}
		node := &v1.Node{ObjectMeta: meta.ObjectMeta{Name: name}}
		created, err := k.client.CoreV1().Nodes().Create(ctx, node, meta.CreateOptions{})
		if err != nil {
			return err
		}
		created.Spec.Taints = nil // admission marks a new node not ready
		if created, err = k.client.CoreV1().Nodes().Update(ctx, created, meta.UpdateOptions{}); err != nil {
			return err
		}
		created.Status = v1.NodeStatus{Capacity: has, Allocatable: has, Conditions: []v1.NodeCondition{ready}}
		if _, err = k.client.CoreV1().Nodes().UpdateStatus(ctx, created, meta.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// run starts and ends containers as the pods of the nodes require, until the context ends.
func (k *kubelet) run(ctx context.Context) {
	for ctx.Err() == nil {
		if pods, err := k.client.CoreV1().Pods("").List(ctx, meta.ListOptions{}); err == nil {
			for _, p := range pods.Items {
				if k.nodes[p.Spec.NodeName] {
					k.sync(ctx, &p)
				}
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// sync moves a pod's container towards the state that the pod asks for.
func (k *kubelet) sync(ctx context.Context, p *v1.Pod) {
	k.mu.Lock()
	c := k.pods[p.UID]
	k.mu.Unlock()
	ended := p.Status.Phase == v1.PodFailed || p.Status.Phase == v1.PodSucceeded
	switch {
	case p.DeletionTimestamp == nil && c == nil && !ended:
		k.start(ctx, p)
	case p.DeletionTimestamp != nil && (c == nil || ended):
		now := int64(0)
		k.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, meta.DeleteOptions{GracePeriodSeconds: &now})
	case p.DeletionTimestamp != nil && !c.told:
		c.told = true
		c.process.Process.Signal(syscall.SIGTERM)
		grace := time.Duration(*p.DeletionGracePeriodSeconds) * time.Second
		time.AfterFunc(grace, func() { c.process.Process.Kill() })
	}
}

// An image holds what enter needs to know of a container.
type image struct {
	Root, Host, Work string
	Binds            map[string]string // folders of the machine by their paths in the container
	Command          []string
}

// start starts a pod's container and reports how it ends.
func (k *kubelet) start(ctx context.Context, p *v1.Pod) {
	spec := p.Spec.Containers[0]
	process, err := k.command(ctx, p, spec)
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		k.report(ctx, p, v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: 128, Reason: err.Error()}})
		return
	}
	k.mu.Lock()
	k.pods[p.UID] = &container{name: p.Name, node: p.Spec.NodeName, process: process}
	k.mu.Unlock()
	began := meta.Now()
	k.report(ctx, p, v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: began}})
	go func() {
		process.Wait()
		code := process.ProcessState.ExitCode()
		if s := process.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
			code = 128 + int(s.Signal())
		}
		k.t.Logf("%s on %s ended with %d after %v", p.Name, p.Spec.NodeName, code, time.Since(began.Time).Round(time.Second))
		k.report(ctx, p, v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			ExitCode: int32(code), Reason: "Exited", StartedAt: began, FinishedAt: meta.Now()}})
	}()
}

// command returns the process of a container: this program, which enters the container's root and becomes its command.
func (k *kubelet) command(ctx context.Context, p *v1.Pod, spec v1.Container) (*exec.Cmd, error) {
	c := exec.Command(os.Args[0])
	c.Env = []string{part + "=container", "HOME=/tmp"}
	expand := []string{"$$", "$"} // in arguments, a variable is written $(NAME)
	for _, e := range spec.Env {
		c.Env = append(c.Env, e.Name+"="+value(p, e))
		expand = append(expand, "$("+e.Name+")", value(p, e))
	}
	of := image{Root: filepath.Join(k.folder, string(p.UID)), Host: p.Name, Work: spec.WorkingDir,
		Binds: map[string]string{"/dev": "/dev"}}
	for _, arg := range slices.Concat(spec.Command, spec.Args) {
		of.Command = append(of.Command, strings.NewReplacer(expand...).Replace(arg))
	}
	for _, d := range []string{"proc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(of.Root, d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Link(k.program, filepath.Join(of.Root, "ablate")); err != nil {
		return nil, err
	}
	for _, m := range spec.VolumeMounts {
		for _, v := range p.Spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			from, err := k.volume(ctx, p, v)
			if err != nil {
				return nil, err
			}
			of.Binds[m.MountPath] = from
		}
	}
	text, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	out, err := os.Create(of.Root + ".log")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c.Args = append(c.Args, string(text))
	c.Stdout, c.Stderr = out, out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID}
	return c, nil
}

// volume returns the folder that holds a volume.
func (k *kubelet) volume(ctx context.Context, p *v1.Pod, v v1.Volume) (string, error) {
	if v.ConfigMap == nil {
		return k.claim, nil
	}
	files, err := k.client.CoreV1().ConfigMaps(p.Namespace).Get(ctx, v.ConfigMap.Name, meta.GetOptions{})
	if err != nil {
		return "", err
	}
	dir := filepath.Join(k.folder, string(p.UID)+"-"+v.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, text := range files.Data {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// value returns the value of a variable: its text, or a field of its pod.
func value(p *v1.Pod, e v1.EnvVar) string {
	if e.ValueFrom == nil || e.ValueFrom.FieldRef == nil {
		return e.Value
	}
	key := func(prefix string) (string, bool) {
		k, is := strings.CutPrefix(e.ValueFrom.FieldRef.FieldPath, prefix+"['")
		return strings.TrimSuffix(k, "']"), is
	}
	if k, is := key("metadata.annotations"); is {
		return p.Annotations[k]
	}
	if k, is := key("metadata.labels"); is {
		return p.Labels[k]
	}
	return map[string]string{"metadata.uid": string(p.UID), "metadata.name": p.Name}[e.ValueFrom.FieldRef.FieldPath]
}

// report writes a container's state into its pod's status.
func (k *kubelet) report(ctx context.Context, p *v1.Pod, state v1.ContainerState) {
	phase := v1.PodRunning
	if end := state.Terminated; end != nil && end.ExitCode == 0 {
		phase = v1.PodSucceeded
	} else if end != nil {
		phase = v1.PodFailed
	}
	for ctx.Err() == nil { // until no one else has written the status in between
		got, err := k.client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, meta.GetOptions{})
		if err == nil {
			got.Status.Phase = phase
			got.Status.ContainerStatuses = []v1.ContainerStatus{{Name: p.Spec.Containers[0].Name, State: state,
				Image: p.Spec.Containers[0].Image, Ready: phase == v1.PodRunning}}
			_, err = k.client.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, got, meta.UpdateOptions{})
		}
		if err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// killAll kills the containers that are still running.
func (k *kubelet) killAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.pods {
		c.process.Process.Kill()
	}
}

// crash kills the container of a pod, as a lack of memory does.
func (k *kubelet) crash(pod string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.pods {
		if c.name == pod {
			return c.process.Process.Kill()
		}
	}
	return fmt.Errorf("no container of pod %s", pod)
}

// enter turns this process, which is alone in its namespaces, into the command of a container.
func enter() error {
	var of image
	if err := json.Unmarshal([]byte(os.Args[1]), &of); err != nil {
		return err
	}
	err := errors.Join(syscall.Sethostname([]byte(of.Host)),
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("proc", filepath.Join(of.Root, "proc"), "proc", 0, ""))
	for at, from := range of.Binds {
		to := filepath.Join(of.Root, at)
		err = errors.Join(err, os.MkdirAll(to, 0o755), syscall.Mount(from, to, "", syscall.MS_BIND|syscall.MS_REC, ""))
	}
	if err = errors.Join(err, syscall.Chroot(of.Root), os.Chdir(of.Work)); err != nil {
		return fmt.Errorf("enter %s: %w", of.Root, err)
	}
	os.Unsetenv(part)
	return syscall.Exec(of.Command[0], of.Command, os.Environ())
}

// Package kubernetes runs what ablate submit --kubernetes prints on a real control plane: etcd, the API server, the
// Job controller, the scheduler and kubectl, built from their Go modules. Only the kubelets are ours. It is a module of
// its own, so that the program depends on none of this.
package kubernetes

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	etcdAddress = "127.0.0.1:12379"
	apiPort     = "16443"
	patience    = 3 * time.Minute // for each wait, on a busy machine
)

// study takes some seconds a run and saves itself many times in them.
const study = `study: small
net:
  net: small
  input: {height: 32, width: 32, channels: 3}
  layers:
    - conv: {filters: 8, kernel: 5, stride: 2, init: {kind: he}}
    - relu: {}
    - dense: {outputs: 10, init: {kind: he}}
    - softmax_loss: {}
data: {name: shapes, train: 1000, test: 100, scale: 0.02}
train: {batch: 10, epochs: 40, lr: 0.001}
seeds: 2
checkpoint: 4 steps
variants:
  tanh: {edits: [{replace: {select: {kind: relu}, with: {tanh: {}}}}]}
`

var runs = []string{"baseline/seed-1", "baseline/seed-2", "tanh/seed-1", "tanh/seed-2"}

// A cluster is a control plane whose two nodes are this machine.
type cluster struct {
	*kubelet
	t   *testing.T
	dir string
}

// A Job of four runs ends with the bytes of runs that nothing disturbed, though one pod is evicted and another killed.
func TestOnKubernetes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: containers cannot have a root and a host name of their own")
	}
	c := start(t)
	ablate := func(args ...string) string {
		return c.do(exec.Command(c.program, append(args, "--runs", filepath.Join(c.claim, "runs"))...))
	}
	c.do(exec.Command(c.program, "run", "small.yaml", "--threads", "1", "--runs", "calm"))
	job := filepath.Join(c.dir, "job.yaml")
	text := ablate("submit", "small.yaml", "--kubernetes", "--image", "ablate:test", "--claim", "work")
	must(t, os.WriteFile(job, []byte(text), 0o644))
	c.kubectl("apply", "--dry-run=server", "-f", job)
	c.kubectl("apply", "-f", job)

	evicted := c.training(runs[0], 1)
	must(t, c.client.PolicyV1().Evictions("default").Evict(t.Context(),
		&policy.Eviction{ObjectMeta: meta.ObjectMeta{Name: evicted, Namespace: "default"}}))
	again := c.training(runs[0], 2)
	if again == evicted {
		t.Errorf("%s goes on in pod %s, which was evicted", runs[0], evicted)
	}
	must(t, c.crash(again))
	c.training(runs[0], 3)
	if out := ablate("status", "small.yaml"); !strings.Contains(out, "running") {
		t.Errorf("status:\n%s", out)
	}
	c.wait("the Job is complete", func() bool {
		return strings.Contains(c.kubectl("get", "jobs", "--output=json"), `"type": "Complete"`)
	})
	out := ablate("status", "small.yaml")
	t.Logf("\n%s", out)
	if !strings.Contains(out, "4 runs: 4 done") {
		t.Errorf("status:\n%s", out)
	}
	for _, run := range runs {
		calm, disturbed := c.digest("calm", run), c.digest(filepath.Join(c.claim, "runs"), run)
		if calm != disturbed {
			t.Errorf("%s differs from an undisturbed run", run)
		}
	}
	if locks, _ := filepath.Glob(filepath.Join(c.claim, "runs", "small", "*", "*", "lock")); len(locks) > 0 {
		t.Errorf("left behind: %v", locks)
	}

	c.claim = filepath.Join(c.dir, "other") // a second submission, cancelled halfway
	must(t, os.Mkdir(c.claim, 0o755))
	must(t, os.WriteFile(job, []byte(ablate("submit", "small.yaml", "--kubernetes", "--image", "ablate:test", "--claim",
		"work", "--only", "baseline/1")), 0o644))
	c.kubectl("delete", "jobs,configmaps", "--selector=app.kubernetes.io/name=ablate")
	c.kubectl("apply", "-f", job)
	c.training(runs[0], 1)
	ablate("cancel", "small.yaml")
	c.wait("the run is interrupted and saved", func() bool { return c.record(runs[0]).Status == "interrupted" })
	c.wait("no pod is left", func() bool { return !strings.Contains(c.kubectl("get", "pods", "--output=name"), "pod/") })
}

// start builds ablate and starts a control plane with two nodes.
func start(t *testing.T) *cluster {
	dir, err := os.MkdirTemp("/var/tmp", "ablate-kubernetes")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	source, err := filepath.Abs("../..")
	must(t, err)
	t.Chdir(dir)
	c := &cluster{t: t, dir: dir}
	c.kubelet = &kubelet{
		t: t, nodes: map[string]bool{}, pods: map[types.UID]*container{}, folder: filepath.Join(dir, "pods"),
		program: filepath.Join(dir, "ablate"), claim: filepath.Join(dir, "claim"),
	}
	for _, d := range []string{c.folder, c.claim} {
		must(t, os.Mkdir(d, 0o755))
	}
	must(t, os.WriteFile("small.yaml", []byte(study), 0o644))
	build := exec.Command("go", "build", "-tags", "nogpu", "-o", c.program, "ablate") // as in the Containerfile
	build.Dir, build.Env = source, append(os.Environ(), "GOFLAGS=-trimpath", "CGO_ENABLED=0")
	c.do(build)

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	must(t, err)
	private := x509.MarshalPKCS1PrivateKey(key)
	c.write("sa.key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: private}))
	c.write("sa.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	c.write("tokens.csv", []byte("secret,admin,1,system:masters\n"))
	c.write("kubeconfig", fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Config", "current-context": "test",
 "clusters": [{"name": "test", "cluster": {"server": "https://127.0.0.1:%s", "insecure-skip-tls-verify": true}}],
 "users": [{"name": "admin", "user": {"token": "secret"}}],
 "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}]}`, apiPort))
	self, err := os.Executable()
	must(t, err)
	must(t, os.Mkdir("bin", 0o755))
	must(t, os.WriteFile("bin/kubectl", fmt.Appendf(nil, "#!/bin/sh\n%s=kubectl exec %s \"$@\"\n", part, self), 0o755))
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	t.Setenv("KUBECONFIG", filepath.Join(dir, "kubeconfig"))

	c.serve("etcd", "etcd-data")
	c.serve("apiserver", "--etcd-servers=http://"+etcdAddress, "--secure-port="+apiPort, "--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1", "--service-account-issuer=https://localhost", "--cert-dir=certs",
		"--service-account-key-file=sa.pub", "--service-account-signing-key-file=sa.key", "--token-auth-file=tokens.csv",
		"--authorization-mode=AlwaysAllow", "--service-cluster-ip-range=10.0.0.0/24",
		"--disable-admission-plugins=ServiceAccount")
	succeeds := func(args ...string) func() bool {
		return func() bool { return exec.Command("kubectl", args...).Run() == nil }
	}
	c.wait("the API server is ready", succeeds("get", "--raw", "/readyz"))
	c.serve("controllers", "--kubeconfig=kubeconfig", "--service-account-private-key-file=sa.key", "--leader-elect=false",
		"--secure-port=0", "--cert-dir=certs", "--controllers=job-controller,pod-garbage-collector-controller,"+
			"garbage-collector-controller,namespace-controller,disruption-controller,persistentvolume-binder-controller")
	c.serve("scheduler", "--kubeconfig=kubeconfig", "--leader-elect=false", "--secure-port=0")

	config, err := clientcmd.BuildConfigFromFlags("", "kubeconfig")
	must(t, err)
	c.client, err = kubernetes.NewForConfig(config)
	must(t, err)
	c.wait("the default namespace", succeeds("get", "namespace", "default"))
	must(t, c.register(t.Context(), "n1", "n2"))
	must(t, c.bind(t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() { c.run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended; c.killAll() })
	return c
}

// bind makes a claim that is bound to a volume. Which volume does not matter: the kubelet mounts its own folder.
func (c *cluster) bind(ctx context.Context) error {
	size := v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	modes, class := []v1.PersistentVolumeAccessMode{v1.ReadWriteMany}, ""
	_, err := c.client.CoreV1().PersistentVolumes().Create(ctx, &v1.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: "work"},
		Spec: v1.PersistentVolumeSpec{Capacity: size, AccessModes: modes, PersistentVolumeSource: v1.PersistentVolumeSource{
			HostPath: &v1.HostPathVolumeSource{Path: c.claim}}}}, meta.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = c.client.CoreV1().PersistentVolumeClaims("default").Create(ctx, &v1.PersistentVolumeClaim{
		ObjectMeta: meta.ObjectMeta{Name: "work"},
		Spec: v1.PersistentVolumeClaimSpec{AccessModes: modes, VolumeName: "work", StorageClassName: &class,
			Resources: v1.VolumeResourceRequirements{Requests: size}}}, meta.CreateOptions{})
	return err
}

// serve starts a part of the control plane, which lives as long as the test.
func (c *cluster) serve(name string, args ...string) {
	c.t.Helper()
	out, err := os.Create(name + ".log")
	must(c.t, err)
	defer out.Close()
	p := exec.Command(os.Args[0], args...)
	p.Env = append(os.Environ(), part+"="+name)
	p.Stdout, p.Stderr = out, out
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(c.t, p.Start())
	c.t.Cleanup(func() { p.Process.Kill(); p.Wait() })
}

// A record holds the fields of run.json that the test reads.
type record struct {
	Status   string `json:"status"`
	Attempts []struct {
		Host string `json:"host"`
	} `json:"attempts"`
}

func (c *cluster) record(run string) (r record) {
	text, err := os.ReadFile(filepath.Join(c.claim, "runs", "small", run, "run.json"))
	if err == nil {
		json.Unmarshal(text, &r)
	}
	return r
}

// training waits until an attempt of a run has saved itself, and returns its pod.
func (c *cluster) training(run string, attempt int) (pod string) {
	c.t.Helper()
	saved := filepath.Join(c.claim, "runs", "small", run, "checkpoint-*")
	before, _ := filepath.Glob(saved)
	c.wait(fmt.Sprint(run, " trains, attempt ", attempt), func() bool {
		now, _ := filepath.Glob(saved)
		r := c.record(run)
		if len(r.Attempts) < attempt || r.Status != "running" || len(now) == 0 || fmt.Sprint(now) == fmt.Sprint(before) {
			return false
		}
		pod = r.Attempts[len(r.Attempts)-1].Host
		return true
	})
	return pod
}

// digest returns the digest of everything in a run that must not depend on interruptions.
func (c *cluster) digest(runs, run string) string {
	h := sha256.New()
	for _, name := range []string{"weights.safetensors", "predictions.csv"} {
		text, err := os.ReadFile(filepath.Join(runs, "small", run, name))
		must(c.t, err)
		h.Write(text)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func (c *cluster) write(name string, text []byte) {
	c.t.Helper()
	must(c.t, os.WriteFile(filepath.Join(c.dir, name), text, 0o600))
}

func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	return c.do(exec.Command("kubectl", args...))
}

// do runs a command to its end and returns what it printed on its standard output.
func (c *cluster) do(p *exec.Cmd) string {
	c.t.Helper()
	var out, said bytes.Buffer
	p.Stdout, p.Stderr = &out, &said
	if err := p.Run(); err != nil {
		c.t.Fatalf("%v: %v\n%s%s", p.Args, err, out.Bytes(), said.Bytes())
	}
	return out.String()
}

// wait waits until a condition holds.
func (c *cluster) wait(what string, so func() bool) {
	c.t.Helper()
	for began := time.Now(); !so(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > patience {
			out, _ := exec.Command("kubectl", "get", "jobs,pods,events").CombinedOutput()
			c.t.Fatalf("not within %v: %s\n%s\n%s", patience, what, out, c.logs())
		}
	}
}

// logs returns the last lines of the output of the control plane and the containers.
func (c *cluster) logs() string {
	var b strings.Builder
	parts, _ := filepath.Glob(filepath.Join(c.dir, "*.log"))
	pods, _ := filepath.Glob(filepath.Join(c.folder, "*.log"))
	for _, name := range slices.Concat(parts, pods) {
		text, _ := os.ReadFile(name)
		fmt.Fprintf(&b, "== %s\n%s\n", filepath.Base(name), text[max(0, len(text)-1000):])
	}
	return b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

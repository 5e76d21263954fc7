//go:build long && linux

package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ablate/experiments"
)

// A slurm is a Slurm cluster on this machine: a controller, and nodes that each have an address, a
// host name and a process table. They share the file system.
type slurm struct {
	t     *testing.T
	dir   string
	nodes map[string]*exec.Cmd
}

// slurmConf configures a cluster that preempts, requeues and notices dead nodes within seconds.
// cred_expire is how long a requeued job waits before it may start again.
const slurmConf = `ClusterName=ablate
SlurmctldHost=ctl(10.79.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=@DIR@/munge/socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPidFile=@DIR@/slurmctld.pid
SlurmdPidFile=@DIR@/slurmd-%n.pid
SlurmdSpoolDir=@DIR@/spool-%n
StateSaveLocation=@DIR@/state
SlurmctldLogFile=@DIR@/slurmctld.log
SlurmdLogFile=@DIR@/slurmd-%n.log
SlurmctldPort=17817
SlurmdPort=17818
SlurmdTimeout=10
KillWait=5
MinJobAge=3600
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,bf_continue
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
JobRequeue=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
`

var nodeNames = []string{"n1", "n2", "n3"}

// startSlurm starts a cluster of three nodes. If it cannot, it skips the test and says why.
func startSlurm(t *testing.T, dir string) *slurm {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: a Slurm with nodes of its own cannot be started")
	}
	for _, program := range []string{"slurmctld", "slurmd", "sbatch", "munged", "ip", "nsenter", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: apt-get install slurmctld slurmd slurm-client munge iproute2", program)
		}
	}
	s := &slurm{t: t, dir: dir, nodes: map[string]*exec.Cmd{}}
	conf := strings.ReplaceAll(slurmConf, "@DIR@", dir)
	for i, n := range nodeNames {
		conf = strings.Replace(conf, "PartitionName=low", fmt.Sprintf(
			"NodeName=%s NodeAddr=10.79.0.%d CPUs=1 RealMemory=2000 State=UNKNOWN\nPartitionName=low", n, 11+i), 1)
	}
	must(t, os.Mkdir(filepath.Join(dir, "munge"), 0o755))
	must(t, os.Chmod(dir, 0o755)) // munged refuses a key below a folder that others may write
	must(t, os.WriteFile(filepath.Join(dir, "munge", "key"), bytes.Repeat([]byte("ablate "), 100), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "slurm.conf"), []byte(conf), 0o644))
	t.Setenv("SLURM_CONF", filepath.Join(dir, "slurm.conf"))
	// Only one cluster can run at a time, since its ports and its network belong to the machine.
	// Remains of a killed test are removed.
	lock, err := os.Create("/var/tmp/ablate-slurm.lock")
	must(t, err)
	must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	t.Cleanup(func() { lock.Close() })
	s.stop()
	t.Cleanup(s.stop)
	m := filepath.Join(dir, "munge") + "/"
	s.start("munged", "munged", "--foreground", "--force", "--key-file="+m+"key", "--socket="+m+"socket",
		"--pid-file="+m+"pid", "--log-file="+m+"log", "--seed-file="+m+"seed", "--num-threads=2")
	s.try("ip", "link", "add", "br-ablate", "type", "bridge")
	s.try("ip", "addr", "add", "10.79.0.1/24", "dev", "br-ablate")
	s.do("ip", "link", "set", "br-ablate", "up")
	for i, n := range nodeNames {
		space := "ablate-" + n
		s.try("ip", "netns", "add", space)
		s.do("ip", "link", "add", "veth-"+n, "type", "veth", "peer", "name", "eth0", "netns", space)
		s.do("ip", "link", "set", "veth-"+n, "master", "br-ablate", "up")
		s.do("ip", "-n", space, "link", "set", "lo", "up")
		s.do("ip", "-n", space, "addr", "add", fmt.Sprintf("10.79.0.%d/24", 11+i), "dev", "eth0")
		s.do("ip", "-n", space, "link", "set", "eth0", "up")
	}
	s.start("ctl", "unshare", "--uts", "sh", "-c", `hostname ctl; exec slurmctld -D`)
	for _, n := range nodeNames {
		s.boot(n)
	}
	s.wait("the nodes are idle", time.Minute, func() bool {
		out, err := exec.Command("sinfo", "--noheader", "--partition=low", "--format=%T %D").Output()
		return err == nil && strings.TrimSpace(string(out)) == "idle 3"
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a process that lives until the cluster is stopped.
func (s *slurm) start(name string, args ...string) {
	s.t.Helper()
	c := exec.Command(args[0], args[1:]...)
	out, err := os.Create(filepath.Join(s.dir, name+".out"))
	must(s.t, err)
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(s.t, c.Start())
	s.nodes[name] = c
}

// boot starts a node; ip netns exec would mount a /sys that slurmd does not accept.
func (s *slurm) boot(n string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(filepath.Join(s.dir, "spool-"+n), 0o755))
	s.start(n, "nsenter", "--net=/run/netns/ablate-"+n, "unshare", "--uts", "--pid", "--mount", "--fork", "--kill-child",
		"--mount-proc", "sh", "-c", "hostname "+n+"; exec slurmd -D -N "+n)
}

// crash simulates a power failure of a node: all of its processes end at once.
func (s *slurm) crash(n string) {
	s.nodes[n].Process.Kill() // unshare then kills the first process of the node's table, and with it all others
	s.nodes[n].Wait()
}

func (s *slurm) stop() {
	for _, c := range s.nodes {
		c.Process.Kill()
		c.Wait()
	}
	for _, n := range nodeNames {
		s.try("ip", "link", "del", "veth-"+n)
		s.try("ip", "netns", "del", "ablate-"+n)
	}
	s.try("ip", "link", "del", "br-ablate")
}

func (s *slurm) try(args ...string) string {
	out, _ := exec.Command(args[0], args[1:]...).CombinedOutput()
	return strings.TrimSpace(string(out))
}

func (s *slurm) do(args ...string) string {
	s.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// wait waits until a condition is true.
func (s *slurm) wait(what string, patience time.Duration, so func() bool) {
	s.t.Helper()
	for began := time.Now(); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > patience {
			s.t.Fatalf("not within %v: %s\n%s", patience, what, s.try("squeue", "--array", "--states=all"))
		}
	}
}

// longPatience is enough for a run that is trained several times over on a busy machine.
const longPatience = 8 * time.Minute

// slurmStudy takes some seconds per run. It saves so often that most interruptions hit the writing
// of a checkpoint.
const slurmStudy = `study: small
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

// A bench is the workplace of one test case: it has its own folder of runs, and shares the cluster
// and the program.
type bench struct {
	*slurm
	t       *testing.T
	program string
	folder  string
	runs    string
}

// ablate runs the program, which must end with the given exit code.
func (b bench) ablate(code int, args ...string) string {
	b.t.Helper()
	c := exec.Command(b.program, append(args, "--runs", b.runs)...)
	c.Dir = b.folder
	out, err := c.CombinedOutput()
	if got := c.ProcessState.ExitCode(); got != code {
		b.t.Fatalf("ablate %v: exit code %d, want %d (%v)\n%s", args, got, code, err, out)
	}
	return string(out)
}

func (b bench) submit(args ...string) {
	b.t.Helper()
	b.ablate(0, append([]string{"submit", "small.yaml", "--slurm", "--pack", "1"}, args...)...)
}

// record reads a run's record. It returns an empty one if there is none yet.
func (b bench) record(run string) (r experiments.Record) {
	variant, seed, _ := strings.Cut(run, "/")
	text, err := os.ReadFile(filepath.Join(b.runs, "small", variant, "seed-"+seed, "run.json"))
	if err == nil {
		json.Unmarshal(text, &r)
	}
	return r
}

// training waits until the newest attempt of a run has saved a checkpoint. That attempt must be at
// least the given one.
func (b bench) training(run string, attempt int) {
	b.t.Helper()
	variant, seed, _ := strings.Cut(run, "/")
	saved := filepath.Join(b.runs, "small", variant, "seed-"+seed, "checkpoint-*")
	before, _ := filepath.Glob(saved)
	b.wait(fmt.Sprint(run, " trains, attempt ", attempt), longPatience, func() bool {
		now, _ := filepath.Glob(saved)
		r := b.record(run)
		return len(r.Attempts) >= attempt && r.Status == experiments.Running && len(now) > 0 && !slices.Equal(now, before)
	})
}

// done waits until runs are done. They must have the bytes of undisturbed runs and must not hold a
// lock.
func (b bench) done(peace map[string]string, runs ...string) {
	b.t.Helper()
	for _, run := range runs {
		b.wait(run+" is done", longPatience, func() bool { return b.record(run).Status == experiments.Done })
	}
	b.wait("the queue is empty", longPatience, func() bool {
		return b.try("squeue", "--noheader", "--states=PENDING,RUNNING,COMPLETING") == ""
	})
	for _, run := range runs {
		if d := cmp.Diff(peace[run], digestOf(b.t, b.runs, run)); d != "" {
			b.t.Errorf("%s differs from an undisturbed run:\n%s", run, d)
		}
	}
	if _, err := os.Stat(filepath.Join(b.runs, "small", "report.txt")); err != nil {
		b.t.Error("no report:", err)
	}
	if locks, _ := filepath.Glob(filepath.Join(b.runs, "small", "*", "*", "lock")); len(locks) > 0 {
		b.t.Errorf("left behind: %v", locks)
	}
}

// digestOf returns the digest of everything in a run that interruptions must not change: weights,
// predictions and series.
func digestOf(t *testing.T, runs, run string) string {
	t.Helper()
	variant, seed, _ := strings.Cut(run, "/")
	dir := filepath.Join(runs, "small", variant, "seed-"+seed)
	h := sha256.New()
	for _, name := range []string{"weights.safetensors", "predictions.csv"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		h.Write(text)
	}
	log, err := experiments.ReadMetrics(experiments.MetricsPath(dir))
	must(t, err)
	for _, m := range experiments.Series(log) {
		fmt.Fprintln(h, m.Epoch, m.Step, m.Name, m.Value)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// On a real Slurm every run ends with the bytes of an undisturbed one, without manual help.
func TestOnSlurm(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "ablate-slurm") // munged requires a path that nobody else may write
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	disk := filepath.Join(dir, "disk") // before the nodes start: they see the mounts that exist then
	must(t, os.Mkdir(disk, 0o755))
	if os.Geteuid() == 0 {
		must(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=100m"))
		t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	}
	s := startSlurm(t, dir)
	program := filepath.Join(dir, "ablate")
	build := exec.Command("go", "build", "-o", program, "ablate")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	must(t, os.WriteFile(filepath.Join(dir, "small.yaml"), []byte(slurmStudy), 0o644))
	all := []string{"baseline/1", "tanh/1", "baseline/2", "tanh/2"}
	first := all[0]
	calm := bench{slurm: s, t: t, program: program, folder: dir, runs: filepath.Join(dir, "calm")}
	began := time.Now()
	calm.ablate(0, "run", "small.yaml", "--threads", "1")
	epoch := time.Since(began) / 160 // of one run; there are four runs of 40 epochs
	peace := map[string]string{}
	for _, run := range all {
		peace[run] = digestOf(t, calm.runs, run)
	}
	// preempt lets a job of higher priority take the node of a run.
	preempt := func(b bench, run string) {
		b.t.Helper()
		r := b.record(run)
		b.do("sbatch", "--partition=high", "--nodelist="+r.Attempts[len(r.Attempts)-1].Host, "--output=/dev/null",
			"--wrap=sleep 1")
	}
	attempts := func(b bench, run string, least int) {
		b.t.Helper()
		if n := len(b.record(run).Attempts); n < least {
			b.t.Errorf("%s had %d attempts, want %d: it was not disturbed", run, n, least)
		}
	}
	one := []string{"--only", first}
	for _, c := range []struct {
		name string
		play func(b bench)
	}{
		{"an array over three nodes", func(b bench) {
			b.submit()
			b.training(first, 1)
			if out := b.ablate(0, "status", "small.yaml"); !strings.Contains(out, "running") {
				b.t.Errorf("status:\n%s", out)
			}
			b.done(peace, all...)
			hosts := map[string]bool{}
			for _, run := range all {
				hosts[b.record(run).Attempts[0].Host] = true
			}
			if len(hosts) != 3 {
				b.t.Errorf("hosts %v, want three", hosts)
			}
			if out := b.ablate(0, "status", "small.yaml"); !strings.Contains(out, "4 runs: 4 done") {
				b.t.Errorf("status:\n%s", out)
			}
		}},
		{"preempted in the first epoch, while it saves, and twice", func(b bench) {
			b.submit(one...)
			b.training(first, 1)
			preempt(b, first)
			b.training(first, 2)
			preempt(b, first)
			b.done(peace, first)
			attempts(b, first, 3)
		}},
		{"the time limit", func(b bench) {
			epochs := int(75*time.Second/epoch) + 1 // longer than the limit
			calm := b
			calm.runs += "-calm"
			var long []string
			for took := time.Duration(0); took < 65*time.Second; { // or the machine was busier when an epoch was timed
				long = []string{"--only", first, "--set", fmt.Sprint("train.epochs=", epochs)}
				began := time.Now()
				calm.ablate(0, append([]string{"run", "small.yaml", "--threads", "1", "--fresh"}, long...)...)
				took = time.Since(began)
				epochs = int(float64(epochs)*75/took.Seconds()) + 1
			}
			b.submit(append(long, "--time", "1m")...) // Slurm warns 15 seconds before, or up to a minute earlier
			b.done(map[string]string{first: digestOf(b.t, calm.runs, first)}, first)
			attempts(b, first, 2)
		}},
		{"the node crashes", func(b bench) {
			b.submit(one...)
			b.training(first, 1)
			host := b.record(first).Attempts[0].Host
			b.crash(host)
			b.training(first, 2)
			b.boot(host)
			b.done(peace, first)
			attempts(b, first, 2)
		}},
		{"killed without warning", func(b bench) {
			b.submit(one...)
			b.training(first, 1)
			r := b.record(first)
			b.do("nsenter", "--target", fmt.Sprint(b.inner(r.Attempts[0].Host)), "--pid", "--mount", "kill", "-9",
				fmt.Sprint(r.Attempts[0].PID))
			b.done(peace, first)
			attempts(b, first, 2)
		}},
		{"cancelled, and submitted again", func(b bench) {
			b.submit(one...)
			b.training(first, 1)
			b.ablate(0, "cancel", "small.yaml")
			b.wait("it is saved", longPatience, func() bool { return b.record(first).Status == experiments.Interrupted })
			b.submit(one...)
			b.done(peace, first)
			attempts(b, first, 2)
		}},
		{"two submissions at once", func(b bench) {
			b.submit()
			b.submit()
			b.done(peace, all...)
		}},
		{"the folder of runs is not mounted", func(b bench) {
			must(b.t, os.MkdirAll(b.runs, 0o755))
			inside := []string{"nsenter", "--target", fmt.Sprint(b.inner("n1")), "--mount"}
			b.do(append(inside, "mount", "-t", "tmpfs", "tmpfs", b.runs)...)
			b.submit("--only", first, "--sbatch=--nodelist=n1")
			b.wait("it was put back into the queue", longPatience, func() bool {
				return strings.Contains(b.try("squeue", "--noheader", "--format=%r"), "BeginTime")
			})
			b.do(append(inside, "umount", b.runs)...)
			b.done(peace, first)
		}},
		{"the disk is full", func(b bench) {
			b.runs = filepath.Join(disk, "runs")
			b.submit(one...)
			b.training(first, 1)
			filler, err := os.Create(filepath.Join(disk, "filler"))
			must(b.t, err)
			for err == nil {
				_, err = filler.Write(make([]byte, 4096))
			}
			filler.Close()
			b.wait("it was put back into the queue", longPatience, func() bool {
				os.WriteFile(filler.Name()+"2", make([]byte, 1<<20), 0o644) // takes the space that was freed meanwhile
				return strings.Contains(b.try("squeue", "--noheader", "--format=%r"), "BeginTime")
			})
			must(b.t, os.Remove(filler.Name()))
			os.Remove(filler.Name() + "2")
			b.done(peace, first)
			attempts(b, first, 2)
		}},
		{"a changed recipe", func(b bench) {
			b.submit(one...)
			b.done(peace, first)
			out := b.ablate(2, "submit", "small.yaml", "--slurm", "--set", "train.lr=0.002")
			if !strings.Contains(out, "a run of another recipe is there") {
				b.t.Error(out)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := strings.Map(func(r rune) rune {
				if r == ' ' || r == ',' {
					return '-'
				}
				return r
			}, c.name)
			s.t = t
			c.play(bench{slurm: s, t: t, program: program, folder: dir, runs: filepath.Join(dir, name)})
		})
	}
}

// inner returns the process ID, on this machine, of the first process in a node's process table.
func (s *slurm) inner(n string) int {
	s.t.Helper()
	var pid int
	children := s.do("pgrep", "--parent", fmt.Sprint(s.nodes[n].Process.Pid))
	if _, err := fmt.Sscan(children, &pid); err != nil {
		s.t.Fatalf("the processes of %s: %q: %v", n, children, err)
	}
	return pid
}

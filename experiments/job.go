package experiments

import (
	"bytes"
	"cmp"
	"context"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A job is what the engine of a cluster calls the task that a process works on.
// The engine knows whether a process on another node is gone.
type job struct {
	Engine  string `json:"engine"`            // slurm, kubernetes
	Cluster string `json:"cluster,omitempty"` // Slurm's name of it
	ID      string `json:"id"`                // Slurm: JOB, or ARRAY_TASK. Kubernetes: the UID of the Job, and the index
	Restart int    `json:"restart,omitempty"` // Slurm: how often the job was requeued
	Pod     string `json:"pod,omitempty"`     // Kubernetes: the pod's UID
}

const (
	slurm      = "slurm"
	kubernetes = "kubernetes"
)

// thisJob is the job that the environment describes, nil if there is none. Slurm
// sets its variables itself (sbatch(1)); for Kubernetes the Job's manifest passes
// on the UIDs of Job and pod.
func thisJob(getenv func(string) string) *job {
	if id := getenv("SLURM_JOB_ID"); id != "" {
		// The last task of an array has the array's number as its own.
		if task := getenv("SLURM_ARRAY_TASK_ID"); task != "" {
			id = getenv("SLURM_ARRAY_JOB_ID") + "_" + task
		}
		restart, _ := strconv.Atoi(getenv("SLURM_RESTART_COUNT")) // absent before the first
		return &job{Engine: slurm, Cluster: getenv("SLURM_CLUSTER_NAME"), ID: id, Restart: restart}
	}
	uid, pod := getenv("ABLATE_KUBERNETES_JOB"), getenv("ABLATE_KUBERNETES_POD")
	if uid != "" && pod != "" {
		return &job{Engine: kubernetes, ID: uid + "/" + getenv("JOB_COMPLETION_INDEX"), Pod: pod}
	}
	return nil
}

func (j *job) String() string {
	if j.Engine == slurm {
		return "Slurm job " + j.ID
	}
	return cmp.Or(j.Engine, "an unknown engine's") + " job " + j.ID
}

// fate says what the engine's rules, or the engine itself, say of a lock's owner.
func (j *job) fate(me *job) fate {
	switch {
	case j == nil || me == nil || j.Engine != me.Engine || j.Cluster != me.Cluster:
		return unknown
	case j.Engine == slurm && j.ID == me.ID && me.Restart > j.Restart:
		return gone // a job is started again once its processes have ended or its node is declared down
	case j.Engine == kubernetes && j.ID == me.ID && j.Pod != me.Pod:
		return gone // with podReplacementPolicy: Failed, which our Jobs ask for, the next pod follows the end of the last
	case j.Engine == slurm && j.ID != me.ID && j.Cluster != "":
		return askSlurm(j.ID)
	}
	return unknown
}

// slurmPatience bounds one question to Slurm's controller.
const slurmPatience = 20 * time.Second

// ended are the states in which a job of Slurm has no process, and waits to be
// started again at most (squeue(1), JOB STATE CODES).
var ended = []string{"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
	"PENDING",
	"PREEMPTED", "REVOKED", "TIMEOUT"}

// askSlurm asks for a job's state. A job that Slurm has forgotten has ended.
func askSlurm(id string) fate {
	if strings.TrimLeft(id, "0123456789_") != "" {
		return unknown
	}
	ctx, cancel := context.WithTimeout(context.Background(), slurmPatience)
	defer cancel()
	c := exec.CommandContext(ctx, "squeue", "--noheader", "--states=all", "--jobs="+id, "--format=%T")
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	switch {
	case err != nil && strings.Contains(said.String(), "Invalid job id"):
		return gone
	case err != nil:
		return unknown
	}
	for _, state := range strings.Fields(string(out)) {
		if !slices.Contains(ended, state) {
			return unknown // COMPLETING, too: its process may still write
		}
	}
	return gone
}

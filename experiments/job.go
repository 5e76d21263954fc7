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

// A job identifies the task of a cluster that a process works on. The batch system knows whether a
// process on another node has ended.
type job struct {
	Engine  string `json:"engine"`            // slurm, kubernetes
	Cluster string `json:"cluster,omitempty"` // the cluster's name in Slurm
	ID      string `json:"id"`                // Slurm: JOB, or ARRAY_TASK. Kubernetes: the UID of the Job, and the index
	Restart int    `json:"restart,omitempty"` // Slurm: how often the job was requeued
	Pod     string `json:"pod,omitempty"`     // Kubernetes: the pod's UID
}

const (
	slurm      = "slurm"
	kubernetes = "kubernetes"
)

// thisJob returns the job that the environment describes, and nil if there is none. Slurm sets its
// variables itself (sbatch(1)); for Kubernetes the Job's manifest passes on the UIDs of the Job and
// the pod.
func thisJob(getenv func(string) string) *job {
	if id := getenv("SLURM_JOB_ID"); id != "" {
		// The last task of an array has the array's number as its job ID.
		if task := getenv("SLURM_ARRAY_TASK_ID"); task != "" {
			id = getenv("SLURM_ARRAY_JOB_ID") + "_" + task
		}
		restart, _ := strconv.Atoi(getenv("SLURM_RESTART_COUNT")) // absent before the first restart
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
	return cmp.Or(j.Engine, "unknown") + " job " + j.ID
}

// fate judges the owner of a lock by the rules of the batch system, or by asking it.
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

// slurmPatience limits the time of one request to Slurm's controller.
const slurmPatience = 20 * time.Second

// ended lists the states of a Slurm job without a process, which at most waits to be started again
// (squeue(1), JOB STATE CODES).
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
			return unknown // including COMPLETING, whose process may still write
		}
	}
	return gone
}

package kubernetes

import (
	"fmt"
	"net/url"
	"os"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// part is the environment variable that names the part of a cluster that a process of this program plays.
const part = "KUBERNETES_PART"

// TestMain plays a part of a cluster, or runs the tests.
func TestMain(m *testing.M) {
	switch os.Getenv(part) {
	case "":
		os.Exit(m.Run())
	case "etcd":
		fatal(serveEtcd(os.Args[1]))
	case "apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "controllers":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "kubectl":
		if kubectl.NewDefaultKubectlCommand().Execute() != nil {
			os.Exit(1)
		}
	case "container":
		fatal(enter())
	}
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveEtcd runs etcd, which keeps the cluster's state in a folder. The state need not survive a power failure.
func serveEtcd(dir string) error {
	c := embed.NewConfig()
	client, peer := url.URL{Scheme: "http", Host: etcdAddress}, url.URL{Scheme: "http", Host: "127.0.0.1:12380"}
	c.Dir, c.LogLevel, c.UnsafeNoFsync = dir, "warn", true
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	server, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	return <-server.Err()
}

//go:build long

package cmd

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// needs skips a test where Python has no such module, and returns the interpreter that has it.
func needs(t *testing.T, modules ...string) string {
	t.Helper()
	for _, python := range []string{os.Getenv("ABLATE_TEST_PYTHON"), "python3"} {
		if python != "" && exec.Command(python, "-c", "import "+strings.Join(modules, ", ")).Run() == nil {
			return python
		}
	}
	t.Skipf("no Python with %s; ABLATE_TEST_PYTHON names one", strings.Join(modules, " and "))
	return ""
}

// python runs a program of lines.
func python(t *testing.T, interpreter, program string, args ...string) {
	t.Helper()
	out, err := exec.Command(interpreter, append([]string{"-c", program}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// says runs ablate and wants it to print what matches.
func says(t *testing.T, pattern string, args ...string) {
	t.Helper()
	var out, errors bytes.Buffer
	if code := Execute(args, &out, &errors); code != 0 {
		t.Fatalf("ablate %v: exit code %d: %s", args, code, errors.String())
	}
	if !regexp.MustCompile(pattern).MatchString(out.String()) {
		t.Errorf("ablate %v prints no %s:\n%s", args, pattern, out.String())
	}
}

// mlflowRuns logs 12 runs, as a user's training program does.
const mlflowRuns = `
import mlflow, random, sys
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("attention")
random.seed(7)
for variant, mean in (("baseline", 0.90), ("no-attention", 0.87)):
    for seed in range(1, 7):
        with mlflow.start_run(run_name=f"{variant}-{seed}", tags={"variant": variant}):
            mlflow.log_params({"seed": seed, "lr": 0.1, "attention": variant == "baseline"})
            for epoch in range(3):
                accuracy = mean - 0.05 * (2 - epoch) + random.gauss(0, 0.004)
                mlflow.log_metric("val_accuracy", accuracy, step=epoch)
            mlflow.log_metric("loss", float("nan"))
            mlflow.log_metric("inf", float("inf"))
`

// An MLflow server with 12 runs ends in a table.
func TestImportFromMLflowServer(t *testing.T) {
	interpreter := needs(t, "mlflow")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	dir := t.TempDir()
	server := exec.Command(interpreter, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", fmt.Sprint(port),
		"--workers", "1", "--backend-store-uri", "sqlite:///"+filepath.Join(dir, "m.db"))
	server.Dir = dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(os.Interrupt)
		server.Wait()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	for begun := time.Now(); ; time.Sleep(time.Second) {
		if answer, err := http.Get(url + "/health"); err == nil {
			answer.Body.Close()
			break
		}
		if time.Since(begun) > 3*time.Minute {
			t.Fatal("the server does not begin")
		}
	}
	python(t, interpreter, mlflowRuns, url)
	runs := filepath.Join(dir, "runs")
	args := []string{"import", "mlflow", url, "--experiment", "attention", "--study", "attention",
		"--metric", "val_accuracy", "--runs", runs}
	says(t, `^attention: 12 runs imported, 0 were there already: 2 variants × 6 seeds\n`, args...)
	says(t, `^attention: 0 runs imported, 12 were there already`, args...)
	says(t, `\nno-attention +attention True→False +6 .* worse\n`, "report", "attention", "--runs", runs)
	says(t, `imported, not measured by ablate: mlflow `, "report", "attention", "--runs", runs)
	text, err := os.ReadFile(filepath.Join(runs, "attention", "baseline", "seed-1", "metrics.jsonl"))
	if err != nil || !bytes.Contains(text, []byte(`"step":2,"name":"val_accuracy"`)) ||
		!bytes.Contains(text, []byte(`"name":"loss","value":"NaN"`)) ||
		!bytes.Contains(text, []byte(`"name":"inf","value":"Infinity"`)) {
		t.Errorf("%v: %s", err, text)
	}
}

// eventFiles writes what TensorBoard's own writer makes of three values.
const eventFiles = `
import os, sys, time
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
for variant, mean in (("baseline", 0.9), ("small", 0.8)):
    for seed in range(1, 7):
        w = EventFileWriter(os.path.join(sys.argv[1], variant, str(seed)))
        for step in range(3):
            value = summary_pb2.Summary.Value(tag="accuracy", simple_value=mean + 0.01 * step + 0.001 * seed)
            w.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=[value])))
        w.close()
`

func TestImportRealEventFiles(t *testing.T) {
	interpreter := needs(t, "tensorboard")
	dir := t.TempDir()
	python(t, interpreter, eventFiles, filepath.Join(dir, "logs"))
	runs := filepath.Join(dir, "runs")
	says(t, `^boards: 12 runs imported`, "import", "tensorboard", filepath.Join(dir, "logs"), "--study", "boards",
		"--runs", runs)
	says(t, `\nbaseline +– +6 +92\.35 ± 0\.19 `, "report", "boards", "--runs", runs)
}

func TestSklearnExample(t *testing.T) {
	needs(t, "sklearn")
	runs := t.TempDir()
	says(t, `\nno-standardising +standardise true→false +2 `, "run", "../examples/sklearn-digits/study.yaml",
		"--seeds", "2", "--runs", runs)
}

func TestPyTorchExample(t *testing.T) {
	needs(t, "torch")
	if os.Getenv("ABLATE_DATA") == "" {
		t.Skip("ABLATE_DATA is not set: the example in PyTorch needs CIFAR-10")
	}
	dir := t.TempDir()
	says(t, `\nno-batch-norm +batch_norm true→false +2 `, "run", "../examples/pytorch-cifar/study.yaml", "--seeds", "2",
		"--variants", "no-batch-norm", "--set", "params.epochs=1", "--set", "params.train_images=512",
		"--set", "params.test_images=500", "--runs", dir)
	says(t, `(?s)test_accuracy +0\..*python +Python 3`, "show", "pytorch-cifar/baseline/1", "--runs", dir)
	says(t, ``, "report", "pytorch-cifar", "--format", "html", "-o", filepath.Join(dir, "page.html"), "--runs", dir)
}

//go:build linux && long

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// python stands in for an interpreter with PyTorch, in which one mode fails and another hangs.
const python = `#!/bin/sh
case "$*" in
"-c "*) exit 0 ;;
*" eager "*) echo "out of memory" >&2; exit 1 ;;
*" compile "*) sleep 1000 ;;
*) echo '{"images_per_second": 7.5}' ;;
esac
`

// The check runs from its archive on an emulated GPU: once without faults, then with each fault that a real GPU may
// have. Each time it must report everything that works.
func TestRehearsal(t *testing.T) {
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no GPU can be emulated: g++ is not here")
	}
	dir := t.TempDir()
	t.Chdir("../..")
	archive := filepath.Join(dir, "gpucheck.tar.gz")
	if err := build(archive); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "xf", archive, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	interpreter := filepath.Join(dir, "python")
	if err := os.WriteFile(interpreter, []byte(python), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		plant, only, longest string
		want                 map[string]string // outcomes by part
		text                 []string          // texts in the report
	}{
		{"", "doctor|smoke|speed|update|algorithms|kernel by kernel|stopped and", "4m", map[string]string{
			"doctor": passed, "smoke float32": passed, "own kernels: update": passed, "libraries: update": passed,
			"algorithms": passed, "stopped and resumed: equal": passed, "kernel by kernel float32": passed},
			[]string{"× PyTorch's best", "| graphs-channels-last | 8 | ", "out of memory",
				"NHWC algorithm 1", "roofline"}},
		{"a wrong kernel", "own kernels: (nets|update)$", "2m", map[string]string{"own kernels: nets": failed,
			"own kernels: nets, again": failed, "own kernels: update": passed}, []string{"TestGPU/own_kernels/nets"}},
		{"a lost GPU", "own kernels: (nets|update)$", "2m", map[string]string{"own kernels: nets": failed,
			"own kernels: update": passed}, []string{"the device is lost"}},
		{"a cuDNN that lists and refuses", "libraries: (nets|update)$", "2m", map[string]string{
			"libraries: nets": passed, "libraries: update": passed}, nil},
		{"a hang", "own kernels: (nets|update)$", "20s", map[string]string{"own kernels: nets": stopped,
			"own kernels: update": passed}, []string{"deadline"}},
		{"a slow compiler", "doctor|own kernels: update$", "6s", map[string]string{"doctor": passed,
			"own kernels: update": stopped}, nil},
	} {
		t.Run(c.plant, func(t *testing.T) {
			out := filepath.Join(dir, "results-"+slug(c.plant))
			run := exec.Command(filepath.Join(dir, "gpucheck", "gpucheck"), "run", "-device", emulated, "-out", out, "-only",
				c.only, "-longest", c.longest, "-seconds", "10m", "-speed", "20s", "-python", interpreter)
			run.Env = append(os.Environ(), "ABLATE_TEST_PLANT="+c.plant)
			run.WaitDelay = time.Second
			said, err := run.CombinedOutput()
			if all := !slices.Contains([]string{failed, stopped}, worst(c.want)); (err == nil) != all {
				t.Errorf("%v\n%s", err, said)
			}
			var r report
			text, err := os.ReadFile(filepath.Join(out, "results.json"))
			if err == nil {
				err = json.Unmarshal(text, &r)
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, p := range r.Parts {
				got[p.Part] = p.Outcome
			}
			for name, outcome := range c.want {
				if got[name] != outcome {
					t.Errorf("%s: %q, not %s\n%s", name, got[name], outcome, said)
				}
			}
			page, err := os.ReadFile(filepath.Join(out, "report.md"))
			for _, words := range c.text {
				if err != nil || !bytes.Contains(page, []byte(words)) {
					t.Errorf("the report lacks %q, error %v\n%s", words, err, page)
				}
			}
			listed, err := exec.Command("tar", "tf", filepath.Join(out, "results.tar.gz")).Output()
			if err != nil || !strings.Contains(string(listed), "results/report.md") {
				t.Errorf("%v\n%s", err, listed)
			}
		})
	}
}

// worst returns an outcome other than passed, if there is one.
func worst(outcomes map[string]string) string {
	for _, o := range outcomes {
		if o != passed {
			return o
		}
	}
	return passed
}

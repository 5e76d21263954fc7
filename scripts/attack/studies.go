//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

const smallNet = `{net: small, input: {height: 32, width: 32, channels: 3}, layers: [%s{dense: {outputs: 10, init: {kind: he}}}, {softmax_loss: {}}]}`

// smallStudy trains two runs in a fraction of a second.
var smallStudy = fmt.Sprintf(study, fmt.Sprintf(smallNet, ""), "{name: shapes, train: 100, test: 20, scale: 0.02}",
	", rate: {edits: [{set: {key: train.lr, value: 0.02}}]}")

const study = `study: s
net: %s
data: %s
train: {batch: 10, epochs: 2, lr: 0.01}
seeds: 1
checkpoint: 1 step
variants: {baseline: {}%s}
`

// drawn is data that is at hand; absent data ends a dry run where its plan stands.
const (
	drawn  = "{name: shapes, train: 40, test: 20}"
	absent = "{name: cifar10, root: absent}"
)

// badLayers once crashed or hung the program, or took gigabytes.
var badLayers = []string{
	"{lrn: {size: 9223372036854775807, alpha: 1, beta: 1, k: 1, alpha_over_size: true}}, ",
	"{conv: {filters: 4, kernel: 3, pad: 9223372036854775807, init: {kind: he}}}, ",
	"{conv: {filters: 4, kernel: 3, pad: 1000000000000, stride: 1000000000000, init: {kind: he}}}, ",
	"{conv: {filters: 4, kernel: 3000000000, pad: 3000000000, init: {kind: he}}}, ",
	"{conv: {filters: 1000000000, kernel: 1000000000, pad: 1000000000, init: {kind: he}}}, ",
	"{conv: {filters: -4, kernel: 3, init: {kind: he}}}, ",
	"{conv: {filters: 4, kernel: 0, init: {kind: he}}}, ",
	"{conv: {filters: 4, kernel: 3, stride: 0, init: {kind: he}}}, ",
	"{conv: {filters: 4, kernel: 3, init: {kind: nothing}}}, ",
	"{dense: {outputs: 1000000000000, init: {kind: he}}}, ",
	"{dense: {outputs: 1048576, init: {kind: he}}}, {dense: {outputs: 1048576, init: {kind: he}}}, ",
	"{spatialpyramid: {levels: [" + strings.Repeat("32, ", 2000) + "1]}}, ",
	"{maxpool: {kernel: 16384, stride: 16384}}, ",
	"{maxpool: {kernel: 99}}, ",
	"{dropout: {rate: 1.5}}, ",
	"{dropout: {rate: .nan}}, ",
	"{residual: {layers: []}}, ",
	"{concat: {}}, ",
	"{}, ",
	"~, ",
	"[], ",
	"{relu: {}, tanh: {}}, ",
	"{softmax_loss: {}}, ",
}

// badVariants are edits that did harm or that change nothing.
var badVariants = []string{
	`, a: {edits: [{set: {key: "", value: 0}}]}`,
	", a: {edits: [{set: {key: data.short_side, value: 9}}]}",
	", a: {edits: [{set: {key: train.schedule.patience, value: 9}}]}",
	", a: {edits: [{set: {key: data.crop_chunk, value: 9}}]}",
	", a: {edits: [{set: {key: data.max_bad, value: 9}}]}",
	", a: {edits: [{set: {select: {kind: conv}, filters: {times: 1e18}}}]}",
	", a: {edits: [{remove: {select: {kind: lrn, nth: 1x}}}]}",
	", a: {edits: [" + strings.Repeat("{insert: {after: {kind: dense}, layers: ["+
		strings.Repeat("{relu: {}}, ", 50)+"]}}, ", 100) + "]}",
	", con: {ablate: [no-lrn]}", ", seed-1: {ablate: [no-lrn]}", ", report.txt: {ablate: [no-lrn]}",
	`, "a..": {ablate: [no-lrn]}`,
	", ../a: {ablate: [no-lrn]}", `, "a\e[31m\n": {ablate: [no-lrn]}`, ", baseline: {}", ", a: {}",
	", a: {ablate: [no-lnr]}", ", a: {device: 7}",
	`, "` + strings.Repeat("a", 900_000) + `": {ablate: [no-lrn]}`,
}

// badFiles are paths that a study may name in place of a study or a net.
var badFiles = []string{"/dev/zero", "/dev/urandom", "/dev/full", "/dev/stdin", "/proc/self/mem", "/proc/kcore",
	"/proc/kmsg", "/etc/passwd", "/", ".",
	"fifo.yaml", "sparse.yaml", "loop.yaml", "s.yaml", "long.yaml", strings.Repeat("x", 900_000) + ".yaml"}

// writeBadFiles makes those of badFiles that no system has.
func writeBadFiles(dir string) error {
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.yaml"), 0o600); err != nil {
		return err
	}
	sparse := filepath.Join(dir, "sparse.yaml")
	if err := os.WriteFile(sparse, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(sparse, 1<<40); err != nil {
		return err
	}
	if err := os.Symlink("loop.yaml", filepath.Join(dir, "loop.yaml")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "long.yaml"), []byte("# "+strings.Repeat("x", 2<<20)), 0o644)
}

// studies returns malformed studies and nets: those that once did harm, and shipped ones with random damage.
func (a *attacker) studies() ([]trial, error) {
	var all []trial
	add := func(kind, name, text string, codes []int, args ...string) {
		all = append(all, trial{kind, name, func(dir string) result {
			if err := os.WriteFile(filepath.Join(dir, "s.yaml"), []byte(text), 0o644); err != nil {
				return result{skipped, err.Error()}
			}
			return a.must(dir, codes, args...)
		}})
	}
	must := []int{refused}
	for _, layer := range badLayers {
		net := fmt.Sprintf(smallNet, layer)
		add("nets", layer, net, must, "nets", "./s.yaml")
		add("nets", layer, fmt.Sprintf(study, net, drawn, ""), must, "run", "s.yaml", "--dry-run")
		add("nets", layer, fmt.Sprintf(study, net, drawn, ""), must, "run", "s.yaml")
	}
	for _, variant := range badVariants {
		add("studies", variant, fmt.Sprintf(study, fmt.Sprintf(smallNet, ""), drawn, variant), must, "run", "s.yaml")
	}
	for _, file := range badFiles {
		for _, text := range []string{"extends: " + file + "\n", fmt.Sprintf(study, file, drawn, "")} {
			all = append(all, trial{"studies", shorten(text), func(dir string) result {
				if err := writeBadFiles(dir); err != nil {
					return result{skipped, err.Error()}
				}
				if err := os.WriteFile(filepath.Join(dir, "s.yaml"), []byte(text), 0o644); err != nil {
					return result{skipped, err.Error()}
				}
				return a.must(dir, must, "run", "s.yaml", "--dry-run")
			}})
		}
	}
	for _, file := range []string{"/dev/zero", "/dev/urandom", "/", "fifo.yaml", "sparse.yaml", "loop.yaml"} {
		all = append(all, trial{"studies", "settings are " + file, func(dir string) result {
			if err := errors.Join(writeBadFiles(dir), os.Symlink(file, filepath.Join(dir, "ablate.yaml"))); err != nil {
				return result{skipped, err.Error()}
			}
			return a.must(dir, must, "runs")
		}})
	}
	for _, args := range [][]string{{"run", "s.yaml"}, {"run", "s.yaml", "--dry-run"}, {"bench", "cifar-quick"}} {
		add("studies", "ten million threads: "+args[0], smallStudy, must, append(args, "--threads", "10000000")...)
	}
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, ", v%d: {edits: [{set: {key: train.lr, value: %g}}]}", i, 0.02+float64(i)/1e4)
	}
	add("studies", "5,000 variants", fmt.Sprintf(study, fmt.Sprintf(smallNet, ""), absent, many.String()), must, "run",
		"s.yaml", "--dry-run")
	add("studies", "a wide list", "study: ["+strings.Repeat("a,", 400_000)+"]", must, "run", "s.yaml")
	add("studies", "a deep list", strings.Repeat("[", 100_000), must, "run", "s.yaml")
	add("studies", "aliases of aliases", "a: &a [x,x,x,x,x,x,x,x,x]\n"+aliases("abcdefghi"), must, "run", "s.yaml")

	shipped, err := filepath.Glob("configs/*.yaml")
	if err != nil || len(shipped) == 0 {
		return nil, fmt.Errorf("no studies in ./configs (%v): run it in the root of the repository", err)
	}
	nets, err := filepath.Glob("arch/nets/*.yaml")
	if err != nil {
		return nil, err
	}
	maybe := []int{done, refused}
	for range 15 {
		for _, file := range shipped {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			// The data does not exist: the dry run ends with the plan, before it measures.
			damaged := a.damageText(a.damageText(string(text))) + "\n"
			add("studies", file+" damaged", damaged, maybe, "run", "s.yaml", "--dry-run", "--set", "data.name=cifar10", "--set",
				"data.root=absent")
		}
		for _, file := range nets[:min(len(nets), 12)] {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			add("nets", file+" damaged", a.damageText(a.damageText(string(text))), maybe, "nets", "./s.yaml")
		}
	}
	return all, nil
}

func aliases(names string) string {
	var b strings.Builder
	for i := 1; i < len(names); i++ {
		fmt.Fprintf(&b, "%c: &%c [%s]\n", names[i], names[i], strings.TrimSuffix(strings.Repeat("*"+names[i-1:i]+",", 9),
			","))
	}
	return b.String()
}

// shorten returns a name of at most 100 characters on one line.
func shorten(text string) string {
	return fmt.Sprintf("%.100q", text)
}

var (
	figure = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)
	word   = regexp.MustCompile(`[a-z_]+`)
)

// extremes replace figures and words.
var extremes = []string{"0", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "3000000000",
	"1000000000000", "1e308", "-1e-320",
	".nan", ".inf", `""`, "~", "[]", "{}", "\"\\e[2J\"", "*a", "&a x", "!!binary x", "0x7fffffffffffffff", "\u202e",
	"\x00", "\xff", "\t", "%", "${HOME}"}

// damageText makes one random change to a text.
func (a *attacker) damageText(text string) string {
	pick := func(re *regexp.Regexp, replacement string) string {
		at := re.FindAllStringIndex(text, -1)
		if len(at) == 0 {
			return text
		}
		i := at[a.random.IntN(len(at))]
		return text[:i[0]] + replacement + text[i[1]:]
	}
	lines := strings.SplitAfter(text, "\n")
	i := a.random.IntN(len(lines))
	switch a.random.IntN(6) {
	case 0, 1:
		return pick(figure, extremes[a.random.IntN(len(extremes))])
	case 2:
		return pick(word, extremes[a.random.IntN(len(extremes))])
	case 3:
		return strings.Join(lines[:i], "") + strings.Join(lines[min(i+1, len(lines)):], "")
	case 4:
		return strings.Join(lines[:i], "") + lines[i] + strings.Join(lines[i:], "")
	default:
		return text[:a.random.IntN(len(text)+1)]
	}
}

//go:build linux

// Gpucheck checks an NVIDIA GPU: every kernel against its definition, runs against the
// CPU's, equal bits after a stop, speed beside PyTorch, and the time of each of cuDNN's
// algorithms. One archive holds the programs; the machine with the GPU needs the driver and
// NVIDIA's libraries, no Go and no network, and PyTorch only for the comparison.
//
//	go run ./scripts/gpucheck build gpucheck.tar.gz
//	tar xf gpucheck.tar.gz && gpucheck/gpucheck run            # under ten minutes
//	gpucheck/gpucheck run -seconds 3600s -speed 2400s          # every mode of PyTorch, several rounds
//	gpucheck/gpucheck run -only 'own kernels|smoke'            # some parts
//
// It writes its results to a folder, results-TIME by default: report.md for readers,
// results.json for programs, a log for each part, and results.tar.gz with all of it.
// If a part fails, hangs or breaks the GPU's context, the check names it and repeats it with tools that find
// the cause. The other parts still run. The exit code is then 1.
package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gpucheck:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) == 0 {
		return errors.New("what? gpucheck build FILE, or gpucheck run")
	}
	flags := flag.NewFlagSet("gpucheck "+args[0], flag.ContinueOnError)
	switch args[0] {
	case "build":
		if err := flags.Parse(args[1:]); err != nil || flags.NArg() != 1 {
			return errors.Join(err, errors.New("where to? gpucheck build FILE.tar.gz"))
		}
		return build(flags.Arg(0))
	case "run":
		c := check{env: os.Environ()}
		only := ""
		flags.StringVar(&c.device, "device", "cuda:0", "check `DEVICE`; emulated rehearses on the CPU")
		flags.StringVar(&c.out, "out", "results-"+time.Now().Format("0102-150405"), "write to the folder `DIR`")
		flags.DurationVar(&c.all, "seconds", 585*time.Second, "begin nothing after `TIME`")
		flags.DurationVar(&c.speed, "speed", 180*time.Second, "compare speeds for `TIME`")
		flags.DurationVar(&c.longest, "longest", 5*time.Minute, "stop a part after `TIME`")
		flags.StringVar(&only, "only", ".", "run the parts whose names match `REGEXP`")
		flags.StringVar(&c.python, "python", "python3", "the `PROGRAM` that has PyTorch")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		var err error
		if c.only, err = regexp.Compile(only); err != nil {
			return fmt.Errorf("-only: %w", err)
		}
		if c.programs, err = os.Executable(); err != nil {
			return err
		}
		c.programs = filepath.Dir(c.programs)
		return c.run()
	}
	return fmt.Errorf("%q is neither build nor run", args[0])
}

// programs lists the other programs in the archive, and how each is built.
var programs = []struct {
	name string
	make []string
}{
	{"gpucheck", []string{"build", "./scripts/gpucheck"}},
	{"ablate", []string{"build", "."}},
	{"cuda.test", []string{"test", "-c", "./runner/engine/cuda"}},
	{"kernels.test", []string{"test", "-c", "./runner/engine/cuda/kernels"}},
	{"nvidia.test", []string{"test", "-c", "./runner/engine/cuda/nvidia"}},
	{"train.test", []string{"test", "-c", "-tags", "long", "./runner/train"}},
}

// most is the largest size of the archive, in bytes.
const most = 60 << 20

// build makes the programs and packs them. It runs in the repository's root.
func build(archive string) error {
	dir, err := os.MkdirTemp("", "gpucheck-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var files []string
	for _, p := range programs {
		file := filepath.Join(dir, p.name)
		args := append([]string{p.make[0], "-trimpath", "-ldflags=-s -w", "-o", file}, p.make[1:]...)
		c := exec.Command("go", args...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		c.Stdout, c.Stderr = os.Stderr, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("go %s: %w", p.make[0], err)
		}
		files = append(files, file)
	}
	if err := pack(archive, "gpucheck", append(files, "scripts/torch_peer.py")); err != nil {
		return err
	}
	info, err := os.Stat(archive)
	if err != nil {
		return err
	}
	if info.Size() > most {
		return fmt.Errorf("%s has %d MiB, and %d are allowed", archive, info.Size()>>20, most>>20)
	}
	fmt.Printf("%s, %d MiB: tar xf it beside the GPU, and call gpucheck/gpucheck run\n", archive, info.Size()>>20)
	return nil
}

// pack writes files to a compressed archive, within a folder.
func pack(archive, folder string, files []string) (err error) {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	small, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	all := tar.NewWriter(small)
	for _, file := range files {
		if err := add(all, file, filepath.Join(folder, filepath.Base(file))); err != nil {
			return err
		}
	}
	return errors.Join(all.Close(), small.Close())
}

func add(all *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	h.Name = name
	if err := all.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(all, f)
	return err
}

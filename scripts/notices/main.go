// Notices prints the licences of everything that is linked into ablate, on every
// system for which it is built: Go and each module. Equal texts are printed once.
//
//	go run ./scripts/notices >cmd/notices.txt
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// systems lists those for which .ci/run builds.
var systems = []string{"linux", "darwin", "windows"}

// legal matches the names of files that a licence requires to be passed on.
var legal = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|notice|patents|third[-_]party)`)

// A linked package and the module it is of.
type linked struct {
	Dir    string
	Module *struct {
		Path, Version, Dir string
		Main               bool
	}
}

func run(w io.Writer) error {
	notices := map[string]*notice{} // by the words of their text
	add := func(name, path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		words := strings.Join(strings.Fields(string(text)), " ")
		n, ok := notices[words]
		if !ok {
			n = &notice{}
			notices[words] = n
		}
		n.names = append(n.names, name)
		n.texts = append(n.texts, strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")))
		return nil
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	if err := add("Go", filepath.Join(strings.TrimSpace(string(root)), "LICENSE")); err != nil {
		return err
	}
	folders := map[string]string{} // folders with linked code → their module
	for _, system := range systems {
		if err := list(system, folders); err != nil {
			return err
		}
	}
	found := map[string]bool{}
	for dir, module := range folders {
		files, err := legalFiles(dir)
		if err != nil {
			return err
		}
		for _, path := range files {
			found[module] = true
			if err := add(module, path); err != nil {
				return err
			}
		}
	}
	for _, module := range folders {
		if !found[module] {
			return fmt.Errorf("%s has no licence", module)
		}
	}
	return write(w, slices.Collect(maps.Values(notices)))
}

// list adds the folders of the modules and packages that are linked on a system.
func list(system string, folders map[string]string) error {
	c := exec.Command("go", "list", "-deps", "-json=Dir,Module", ".")
	c.Env = append(os.Environ(), "GOOS="+system)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return err
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p linked
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if p.Module != nil && !p.Module.Main {
			name := p.Module.Path + " " + p.Module.Version
			folders[p.Module.Dir], folders[p.Dir] = name, name
		}
	}
}

// legalFiles lists the files to pass on from a folder, and from its subfolder of third-party licences.
func legalFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case !legal.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go"):
		case !e.IsDir():
			files = append(files, path)
		default:
			inside, err := os.ReadDir(path)
			if err != nil {
				return nil, err
			}
			for _, f := range inside {
				if !f.IsDir() && !strings.HasSuffix(f.Name(), ".go") {
					files = append(files, filepath.Join(path, f.Name()))
				}
			}
		}
	}
	return files, nil
}

// A notice is a licence, perhaps in several layouts, and the names of what it covers.
type notice struct{ names, texts []string }

// write writes the notices sorted by the names of what they cover.
func write(out io.Writer, notices []*notice) error {
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, "ablate contains the work of others, under these licences. Made by go run ./scripts/notices.")
	for _, n := range notices {
		slices.Sort(n.names)
		n.names = slices.Compact(n.names)
	}
	slices.SortFunc(notices, func(a, b *notice) int {
		return cmp.Or(slices.Compare(a.names, b.names), strings.Compare(a.texts[0], b.texts[0]))
	})
	for _, n := range notices {
		fmt.Fprintf(w, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(n.names, "\n"), slices.Min(n.texts))
	}
	return w.Flush()
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Imports follow the flow configs → recipe + arch + ablations → runner → experiments →
// reports → serve, and some libraries stay in their rooms.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(out)))
	house, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	for room, imports := range may {
		list := strings.Join(imports, ", ")
		if list == "" {
			list = "none"
		}
		if line := fmt.Sprintf("    %-12s imports %s\n", room, list); !strings.Contains(string(house), line) {
			t.Errorf("docs/design.md lacks the line %q", line)
		}
	}
	packages := 0
	for d.More() {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages++
		room := strings.TrimPrefix(p.ImportPath, "ablate/")
		if depth := strings.Count(room, "/"); room != "ablate" && depth < 2 && !strings.HasPrefix(room, "scripts/") &&
			!strings.Contains(string(house), "(../"+room+")") {
			t.Errorf("docs/design.md does not describe %s", room)
		}
		for _, i := range p.Imports {
			checkImport(t, p.ImportPath, i)
		}
	}
	if packages < 10 {
		t.Errorf("only %d packages were checked", packages)
	}
}

// may lists the rooms that a room may import. strictyaml is a leaf with which any room may read YAML.
var may = map[string][]string{
	"strictyaml":  {},
	"arch":        {"strictyaml"},
	"recipe":      {"arch", "strictyaml"},
	"ablations":   {"arch", "recipe", "strictyaml"},
	"configs":     {"arch", "recipe", "ablations", "strictyaml"},
	"experiments": {"arch", "recipe", "strictyaml"},
	"runner":      {"arch", "recipe", "configs", "experiments", "strictyaml"},
	"reports":     {"arch", "recipe", "experiments", "strictyaml"},
	"serve":       {"recipe", "experiments", "reports"},
}

// only lists the rooms that may import a library.
var only = map[string][]string{
	"gorgonia.org/":                      {"ablate/runner/graph", "ablate/runner/engine"},
	"github.com/go-gota/":                {"ablate/reports"},
	"github.com/olekukonko/tablewriter":  {"ablate/reports", "ablate/cmd"},
	"github.com/spf13/viper":             {"ablate/configs"},
	"github.com/ncruces/go-sqlite3":      {"ablate/experiments/index"},
	"github.com/parquet-go/":             {"ablate/experiments/export"},
	"github.com/guptarohit/asciigraph":   {"ablate/cmd"},
	"github.com/vbauerster/mpb/":         {"ablate/cmd"},
	"github.com/fsnotify/":               {"ablate/serve"},
	"ablate/runner/engine/cuda/cudatest": {"ablate/runner/engine/cuda/cudatest"}, // test doubles stay out of the product
	"C":                                  {},
}

func checkImport(t *testing.T, from, to string) {
	t.Helper()
	for library, rooms := range only {
		if !strings.HasPrefix(to, library) || library == "C" && to != "C" {
			continue
		}
		if !slices.ContainsFunc(rooms, func(r string) bool { return from == r || strings.HasPrefix(from, r+"/") }) {
			t.Errorf("%s imports %s, which only %v may import", from, to, rooms)
		}
	}
	room, theirs := roomOf(from), roomOf(to)
	allowed, ruled := may[room]
	if ruled && theirs != "" && theirs != room && !slices.Contains(allowed, theirs) {
		t.Errorf("%s imports %s; %s may import %v", from, to, room, allowed)
	}
}

// roomOf returns the first folder of the path of one of our packages, and "" for other packages.
func roomOf(path string) string {
	rest, ok := strings.CutPrefix(path, "ablate/")
	if !ok {
		return ""
	}
	room, _, _ := strings.Cut(rest, "/")
	return room
}

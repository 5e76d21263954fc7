//go:build long

package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

const longestLine = 120 // columns, a tab being one

// longLines are how many lines a room still has that are longer. Numbers only fall:
// who wraps some lowers the number.
var longLines = map[string]int{
	"ablations":                        17,
	"arch":                             18,
	"cmd":                              31,
	"configs":                          56,
	"experiments":                      7,
	"experiments/export":               9,
	"experiments/export/onnx":          1,
	"experiments/export/tensorboard":   2,
	"experiments/export/torch":         1,
	"recipe":                           24,
	"reports":                          14,
	"reports/ledger":                   11,
	"reports/stats":                    13,
	"scripts/attack":                   20,
	"reports/page":                     36,
	"reports/render":                   43,
	"runner":                           17,
	"runner/data":                      52,
	"runner/data/files":                1,
	"runner/data/imagefiles":           30,
	"runner/data/imaging":              8,
	"runner/data/pack":                 20,
	"runner/device":                    4,
	"runner/engine":                    10,
	"runner/engine/cpu":                29,
	"runner/engine/cuda":               35,
	"runner/engine/cuda/cudatest/fake": 34,
	"runner/engine/cuda/kernels":       25,
	"runner/engine/cuda/nvidia":        51,
	"runner/engine/enginetest":         17,
	"runner/graph":                     30,
	"runner/train":                     14,
	"strictyaml":                       2,
}

// Lines of Go have at most 120 columns, but for struct tags, which cannot be
// wrapped, and what is generated.
func TestLineLength(t *testing.T) {
	long := map[string]int{}
	where := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case d.IsDir() && (name == "testdata" || name == "_asm" || name == ".git"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go" || generated(path):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) <= longestLine || strings.HasSuffix(line, "`\n") {
				continue
			}
			room := filepath.ToSlash(filepath.Dir(path))
			long[room]++
			where[room] = append(where[room], token.Position{Filename: path, Line: number}.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room, n := range long {
		if n > longLines[room] {
			t.Errorf("%s: %d lines of more than %d columns, at most %d may stay: %v",
				room, n, longestLine, longLines[room], where[room])
		}
	}
}

// generated reports whether a file says that a program wrote it.
func generated(path string) bool {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
	return err == nil && len(f.Comments) > 0 && strings.HasPrefix(f.Comments[0].List[0].Text, "// Code generated ")
}

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

// Lines of Go have at most 120 columns, but for struct tags, which cannot be
// wrapped, and what is generated.
func TestLineLength(t *testing.T) {
	var long []string
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
			long = append(long, token.Position{Filename: path, Line: number}.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(long) > 0 {
		t.Errorf("lines of more than %d columns:\n%s", longestLine, strings.Join(long, "\n"))
	}
}

// generated reports whether a file states that a program wrote it.
func generated(path string) bool {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
	return err == nil && len(f.Comments) > 0 && strings.HasPrefix(f.Comments[0].List[0].Text, "// Code generated ")
}

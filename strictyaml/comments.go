package strictyaml

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strings"
)

// Comments holds the source comments of some packages on their types and fields, by "package.Type"
// and "package.Type.Field". They are the only description of a key: the schemas and docs/studies.md
// are made from them.
type Comments map[string]string

// ReadComments adds the comments in a package's files; pkg is its import path.
func (c Comments) ReadComments(pkg string, files fs.FS) error {
	paths, err := fs.Glob(files, "*.go")
	if err != nil {
		return err
	}
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(files, p)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("comments of %s: %w", pkg, err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				c.types(pkg, g)
			}
		}
	}
	return nil
}

func (c Comments) types(pkg string, g *ast.GenDecl) {
	for _, s := range g.Specs {
		t := s.(*ast.TypeSpec)
		doc := t.Doc
		if doc == nil && len(g.Specs) == 1 {
			doc = g.Doc
		}
		name := pkg + "." + t.Name.Name
		c[name] = doc.Text()
		fields, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			for _, n := range f.Names {
				c[name+"."+n.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
	}
}

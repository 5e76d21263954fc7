package configs

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/internal/golden"
	"ablate/recipe"
	"ablate/strictyaml"
)

type schema = strictyaml.Schema

const studiesPage = "../docs/studies.md"

// docs/studies.md holds every key as the schemas have it; `go test ./configs -run StudiesPage -update`
// renews its tables.
func TestStudiesPage(t *testing.T) {
	text, err := os.ReadFile(studiesPage)
	if err != nil {
		t.Fatal(err)
	}
	blocks := tables(t)
	block := regexp.MustCompile(`(?s)<!-- from the source: (\S+) -->\n.*?<!-- end -->`)
	seen := map[string]bool{}
	got := block.ReplaceAllStringFunc(string(text), func(b string) string {
		of := block.FindStringSubmatch(b)[1]
		seen[of] = true
		if blocks[of] == "" {
			t.Errorf("docs/studies.md asks for %s, which is not there", of)
		}
		return "<!-- from the source: " + of + " -->\n" + blocks[of] + "<!-- end -->"
	})
	for of := range blocks {
		if !seen[of] {
			t.Errorf("docs/studies.md has no place for %s", of)
		}
	}
	golden.Check(t, studiesPage, got)
}

// The YAML blocks of docs/studies.md are read as they stand.
func TestStudiesPageExamples(t *testing.T) {
	text, err := os.ReadFile(studiesPage)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ABLATE_DATA", "/data")
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		switch body := m[1]; {
		case strings.HasPrefix(body, "study:"):
			if _, err := Load(write(t, "s.yaml", body), nil); err != nil {
				t.Errorf("%v in\n%s", err, body)
			}
		case strings.HasPrefix(body, "net:"):
			n, err := arch.Parse("n.yaml", []byte(body))
			if err == nil {
				_, err = n.Infer()
			}
			if err != nil {
				t.Errorf("%v in\n%s", err, body)
			}
		default:
			if _, err := strictyaml.Parse("x.yaml", []byte(body)); err != nil {
				t.Errorf("%v in\n%s", err, body)
			}
		}
	}
}

// tables are the generated parts of the page.
func tables(t *testing.T) map[string]string {
	t.Helper()
	study, err := Schema("study")
	if err != nil {
		t.Fatal(err)
	}
	net, err := Schema("net")
	if err != nil {
		t.Fatal(err)
	}
	ablation, err := Schema("ablation")
	if err != nil {
		t.Fatal(err)
	}
	c, err := comments()
	if err != nil {
		t.Fatal(err)
	}
	variant := study.Properties.Get("variants").Additional.(*schema)
	layers := ""
	for _, kind := range study.Defs["layer"].Properties {
		says := strings.Replace(kind.Description, kind.Key, "`"+kind.Key+"`", 1)
		layers += fmt.Sprintf("### %s\n\n%s\n\n", kind.Key, says)
		if len(kind.Properties) > 1 {
			layers += table(kind.Schema, kind.Required)
		} else {
			layers += "It has no keys but `name`.\n"
		}
		layers += "\n"
	}
	return map[string]string{
		"study":      top(study),
		"data":       table(study.Properties.Get("data"), study.Else.Properties.Get("data").Required),
		"train":      table(study.Properties.Get("train"), study.Else.Properties.Get("train").Required),
		"variant":    table(variant, nil),
		"metric":     table(study.Properties.Get("metrics").Additional.(*schema), nil),
		"net":        table(net, net.Required),
		"layers":     layers,
		"ablation":   table(ablation, ablation.Required),
		"edit":       table(study.Defs["edit"], nil),
		"selector":   table(study.Defs["selector"], nil),
		"schedule":   strings.Replace(c.Of(reflect.TypeFor[recipe.Schedule]())+"\n", "Schedule", "`schedule`", 1),
		"init":       strings.Replace(c.Of(reflect.TypeFor[recipe.Init]())+"\n", "Init", "`init`", 1),
		"optimizer":  strings.Replace(c.Of(reflect.TypeFor[recipe.Optimizer]())+"\n", "Optimizer", "`optimizer`", 1),
		"pca_colour": strings.Replace(c.Of(reflect.TypeFor[recipe.PCAColour]())+"\n", "PCAColour", "`pca_colour`", 1),
	}
}

// top is a study without the keys that have a section of their own.
func top(s *schema) string {
	short := *s
	short.Properties = nil
	for _, p := range s.Properties {
		one := *p.Schema
		if p.Key == "data" || p.Key == "train" || p.Key == "net" {
			one.Properties = nil
		}
		if p.Key == "net" {
			one.AnyOf = []*schema{one.AnyOf[0], {Type: one.AnyOf[1].Type}}
		}
		short.Properties = append(short.Properties, strictyaml.Property{Key: p.Key, Schema: &one})
	}
	return table(&short, append([]string{"study"}, s.Else.Required...))
}

func table(s *schema, required []string) string {
	var b strings.Builder
	b.WriteString("| key | type | default | range | meaning | example |\n|---|---|---|---|---|---|\n")
	rows(&b, s, "", required)
	return b.String()
}

func rows(b *strings.Builder, s *schema, prefix string, required []string) {
	for _, p := range s.Properties {
		ifLeftOut := code(p.Default)
		if slices.Contains(required, p.Key) {
			ifLeftOut = "required"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s | %s | %s |\n", prefix, p.Key, typeOf(p.Schema), ifLeftOut,
			rangeOf(p.Schema), strings.ReplaceAll(p.Description, "|", "\\|"), examples(p.Schema))
		nested(b, p.Schema, prefix+p.Key)
	}
}

func nested(b *strings.Builder, s *schema, key string) {
	rows(b, s, key+".", s.Required)
	for _, form := range s.AnyOf {
		nested(b, form, key)
	}
	if s.Items != nil {
		rows(b, s.Items, key+"[].", s.Items.Required)
	}
}

func code(v any) string {
	if v == nil {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return "`" + strings.Trim(string(text), `"`) + "`"
}

func examples(s *schema) string {
	if len(s.Examples) == 0 {
		return ""
	}
	return "`" + flow(s.Examples[0]) + "`"
}

// flow writes a value as YAML on one line.
func flow(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range order(v) {
			parts = append(parts, k+": "+flow(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, flow(x))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case float64:
		if v == math.Trunc(v) {
			return fmt.Sprintf("%.1f", v)
		}
	}
	return fmt.Sprint(v)
}

// order sorts keys, a name or selector first.
func order(m map[string]any) []string {
	var first, rest []string
	for _, k := range []string{"name", "select", "key", "kind", "layer", "net"} {
		if _, ok := m[k]; ok {
			first = append(first, k)
		}
	}
	for k := range m {
		if !slices.Contains(first, k) {
			rest = append(rest, k)
		}
	}
	slices.Sort(rest)
	return append(first, rest...)
}

func typeOf(s *schema) string {
	unit := ""
	if s.Unit != "" {
		unit = " (" + s.Unit + ")"
	}
	switch {
	case s.AnyOf != nil:
		var forms []string
		for _, f := range s.AnyOf {
			if w := typeOf(f); !slices.Contains(forms, w) {
				forms = append(forms, w)
			}
		}
		return strings.Join(forms, " or ") + unit
	case strings.HasSuffix(s.Ref, "layer"):
		return "[layer](#layers)"
	case s.Ref != "":
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		return "[" + name + "](#" + name + "s)"
	case s.Enum != nil:
		return "word"
	case s.Type == nil:
		return "value"
	}
	words := map[string]string{
		"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false",
		"object": "mapping", "array": "list",
	}
	word := words[s.Type[0]]
	if s.Items != nil {
		plural := regexp.MustCompile(`number|mapping|text|word|\[(layer|edit)`)
		word = "list of " + plural.ReplaceAllString(typeOf(s.Items), "${0}s")
	}
	return word + unit
}

func rangeOf(s *schema) string {
	if s.Enum != nil {
		var words []string
		for _, w := range s.Enum {
			words = append(words, fmt.Sprintf("`%v`", w))
		}
		return strings.Join(words, ", ")
	}
	b := strictyaml.Bounds{Min: math.Inf(-1), Max: math.Inf(1)}
	if s.Minimum != nil {
		b.Min = *s.Minimum
	}
	if s.ExclusiveMinimum != nil {
		b.Min, b.Above = *s.ExclusiveMinimum, true
	}
	if s.Maximum != nil {
		b.Max = *s.Maximum
	}
	if s.ExclusiveMaximum != nil {
		b.Max, b.Below = *s.ExclusiveMaximum, true
	}
	text := b.Range()
	for _, f := range s.AnyOf {
		if r := rangeOf(f); text == "" {
			text = r
		}
	}
	if s.Items != nil {
		text = rangeOf(s.Items)
		if s.MaxItems > 0 {
			text = strings.TrimPrefix(text+fmt.Sprintf(", at most %d entries", s.MaxItems), ", ")
		}
	}
	return text
}

// eachKey calls f for every key of a schema, with its dotted name.
func eachKey(prefix string, s *schema, f func(key string, s *schema)) {
	for _, p := range s.Properties {
		f(prefix+"."+p.Key, p.Schema)
		eachKey(prefix+"."+p.Key, p.Schema, f)
	}
	for _, form := range s.AnyOf {
		eachKey(prefix, form, f)
	}
	if s.Items != nil {
		eachKey(prefix+"[]", s.Items, f)
	}
}

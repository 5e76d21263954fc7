package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/reports"
)

// The pages of studies that went wrong, or that are too small to show anything, say so and draw what they can.
func TestTrouble(t *testing.T) {
	base := study("baseline", lrn, 0.2, 0.21, 0.19, 0.22, 0.2, 0.21)
	ended := func(name string, s experiments.Status, why string) []experiments.Record {
		rs := study(name, "", 0.5)
		rs[0].Status, rs[0].Error, rs[0].Result = s, why, nil
		return rs
	}
	var many []experiments.Record
	for i := range 17 {
		many = append(many, study(fmt.Sprintf("v%02d", i), "", 0.2, 0.3)...)
	}
	for _, c := range []struct {
		name    string
		records []experiments.Record
		says    []string
	}{
		{"one seed", slices.Concat(base[:1], study("no-lrn", "", 0.25)), []string{"too few seeds"}},
		{"one variant", base, []string{"seeds 1–6", "20.50 ± 1.05"}},
		{"no baseline", slices.Concat(study("no-lrn", "", 0.25, 0.3), study("tanh", lrn, 0.4, 0.5)),
			[]string{"no variant is the baseline"}},
		{"ties", slices.Concat(base, study("same", lrn, 0.2, 0.21, 0.19, 0.22, 0.2, 0.21)),
			[]string{"0.00 [0.00, 0.00]", "no evidence", "do the two really train different nets?"}},
		{"zero variance", slices.Concat(study("baseline", lrn, 0.2, 0.2, 0.2), study("worse", "", 0.3, 0.3, 0.3)),
			[]string{"20.00 ± 0.00", "&#43;10.00", "the interval has no width"}},
		{"NaN", slices.Concat(base, study("nan", "", 0.2, math.NaN())),
			[]string{"the record holds no top-1 test error between 0 and 1"}},
		{"infinite", slices.Concat(base, study("inf", "", 0.2, math.Inf(1))),
			[]string{"the record holds no top-1 test error between 0 and 1"}},
		{"nothing finite", study("baseline", lrn, math.NaN(), math.Inf(-1)),
			[]string{"the record holds no top-1 test error between 0 and 1"}},
		{"diverged", slices.Concat(base, ended("tanh", experiments.Diverged, "loss is +Inf at epoch 1, step 12")),
			[]string{"diverged"}},
		{"failed", slices.Concat(base, ended("big", experiments.Failed, "no space left on device")),
			[]string{"no space left on device"}},
		{"running", slices.Concat(base, ended("late", experiments.Running, "")), []string{"1 running"}},
		{"interrupted", slices.Concat(base, ended("cut", experiments.Interrupted, "")), []string{"1 interrupted"}},
		{"more variants than colours", many, []string{`class="curve s0 d0 r0"`, `class="curve s0 d1 r8"`,
			`class="curve s0 d2 r16"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := source(c.records)
			s.Metrics = func(r experiments.Record) ([]experiments.Metric, error) {
				if r.Result == nil {
					return nil, nil
				}
				return source(c.records).Metrics(r)
			}
			page := written(t, c.records, s)
			for _, want := range c.says {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			wellDrawn(t, page)
		})
	}
}

// Names stay words, whatever they hold: rows are whole, pictures are well-formed, and the page requests nothing.
func FuzzNames(f *testing.F) {
	f.Add("no-lrn", "− norm1")
	f.Add("</title></svg><script>alert(1)</script>", "<img src=x>")
	f.Add("\x00\x1b[31m\u202e\xff", "]]>&#x0;")
	f.Add("変体 שלום", "{{.}} \u2028")
	f.Fuzz(func(t *testing.T, name, change string) {
		records := slices.Concat(study("baseline", lrn, 0.2, 0.3), study("x"+name, "", 0.25, 0.35))
		for i := range records[2:] {
			records[2+i].Changes = []string{change}
			records[2+i].Provenance.Command = []string{name, change}
			records[2+i].Attempts[0].Hardware = change
		}
		page := withoutScript(t, written(t, records, source(records)))
		if m := regexp.MustCompile(`(?i)<(script|img src="[^d]|a href="[^#]|link|iframe)`).FindString(page); m != "" {
			t.Errorf("a name became %s", m)
		}
		table := page[strings.Index(page, "<tbody>"):strings.Index(page, "</tbody>")]
		if n := strings.Count(table, "<tr>"); n != 2 || strings.Count(table, "</tr>") != n {
			t.Errorf("%d rows of two", n)
		}
		wellDrawn(t, page)
		c, err := reports.Table("s", records, reports.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteForest(&b, c); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, b.String())
	})
}

// wellDrawn checks that every picture is XML and that each of its coordinates is a number.
func wellDrawn(t *testing.T, page string) {
	t.Helper()
	pictures := regexp.MustCompile(`(?s)<svg .*?</svg>`).FindAllString(page, -1)
	if strings.Count(page, "<svg ") != len(pictures) || len(pictures) == 0 {
		t.Errorf("%d pictures, not all of them whole", len(pictures))
	}
	for _, p := range pictures {
		wellFormed(t, p)
	}
}

func wellFormed(t *testing.T, picture string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(picture)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
		if e, ok := token.(xml.StartElement); ok {
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Fatalf("%s is at %s %s", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

// A huge epoch number once made a loop count up to it.
func TestHugeEpoch(t *testing.T) {
	log := []experiments.Metric{{Epoch: 1, Name: "x", Value: 0.5}, {Epoch: 1 << 62, Name: "x", Value: 0.25}}
	c := Curve{Metric: "x", Logs: [][]experiments.Metric{log}}
	if p := c.points(Axes{Factor: 100}); len(p) != 2 ||
		p[1].epoch != 1<<62 || p[1].mean != 25 {
		t.Errorf("%+v", p)
	}
}

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A report holds all results of a check.
type report struct {
	Device  string   `json:"device"`
	Began   string   `json:"began"`
	Seconds float64  `json:"seconds"`
	Parts   []result `json:"parts"`
	Speeds  []speed  `json:"speeds"`
}

// bad lists the parts that did not pass. It omits "again", which follows from an earlier failure.
func (r report) bad() []string {
	var all []string
	for _, p := range r.Parts {
		if p.Outcome != passed && !strings.HasSuffix(p.Part, ", again") {
			all = append(all, p.Part)
		}
	}
	for _, s := range r.Speeds {
		if s.Program == ours && s.Error != "" {
			all = append(all, fmt.Sprintf("speed of %s at %d in %s", s.Net, s.Batch, s.Precision))
		}
	}
	return all
}

// write writes the current report, and packs it with the logs.
func (c *check) write() error {
	text, err := json.MarshalIndent(c.report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.out, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.out, "report.md"), []byte(c.report.markdown(c.log)), 0o644); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(c.out, "logs", "*"))
	if err != nil {
		return err
	}
	files = append(files, filepath.Join(c.out, "results.json"), filepath.Join(c.out, "report.md"))
	return pack(filepath.Join(c.out, "results.tar.gz"), "results", files)
}

// log returns the log of a part for the report.
func (c *check) log(r result) string {
	text, err := os.ReadFile(filepath.Join(c.out, r.Log))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// shown lists the parts whose logs hold figures for the reader.
var shown = []string{"doctor", "driver", "kernel by kernel", "algorithms", "names of"}

// markdown returns the report as text: failures, speeds, parts, tables.
func (r report) markdown(log func(result) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Check of %s\n\n%s, %.0f s\n", r.Device, r.Began, r.Seconds)
	if bad := r.bad(); len(bad) > 0 {
		b.WriteString("\n## Not passed\n")
		for _, p := range r.Parts {
			if p.Outcome == passed {
				continue
			}
			fmt.Fprintf(&b, "\n### %s: %s after %.1f s (%s)\n", p.Part, p.Outcome, p.Seconds, p.Log)
			for _, f := range p.Failures {
				fmt.Fprintf(&b, "- %s\n", f)
			}
			if len(p.Last) > 0 {
				fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.Join(p.Last, "\n"))
			}
		}
	}
	b.WriteString("\n## Speed\n")
	for _, table := range r.tables() {
		b.WriteString(table)
	}
	b.WriteString("\n## Parts\n\n| part | outcome | s |\n|---|---|---|\n")
	for _, p := range r.Parts {
		fmt.Fprintf(&b, "| %s | %s | %.1f |\n", p.Part, p.Outcome, p.Seconds)
	}
	for _, p := range r.Parts {
		for _, prefix := range shown {
			if strings.HasPrefix(p.Part, prefix) {
				fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", p.Part, strings.TrimSpace(log(p)))
			}
		}
	}
	return b.String()
}

// tables returns the speeds of each net, batch and precision.
func (r report) tables() []string {
	var tables []string
	seen := map[string]bool{}
	for _, s := range r.Speeds {
		title := fmt.Sprintf("%s, batch %d, %s", s.Net, s.Batch, s.Precision)
		if seen[title] {
			continue
		}
		seen[title] = true
		var group []speed
		var own, best float64
		for _, o := range r.Speeds {
			if o.Net != s.Net || o.Batch != s.Batch || o.Precision != s.Precision {
				continue
			}
			group = append(group, o)
			if o.Program == ours {
				own = o.median()
			} else {
				best = max(best, o.median())
			}
		}
		tables = append(tables, table(title, group, own, best, goal(s)))
	}
	return tables
}

// goal returns a net's target speed, as a multiple of PyTorch's best.
func goal(s speed) float64 {
	for _, r := range races {
		if r.net == s.Net && r.batch == s.Batch {
			return r.goals[s.Precision]
		}
	}
	return 0
}

// table shows a net's speeds, and the ratio of ours to each.
func table(title string, group []speed, own, best, goal float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n", title)
	if own > 0 && best > 0 {
		fmt.Fprintf(&b, "%.2f × PyTorch's best", own/best)
		if goal > 0 {
			fmt.Fprintf(&b, "; the goal is %.1f ×", goal)
		}
		b.WriteString("\n\n")
	}
	b.WriteString("| program | images/s | rounds | ablate is |\n|---|---|---|---|\n")
	for _, s := range group {
		if s.Error != "" {
			fmt.Fprintf(&b, "| %s | %s | | |\n", s.Program, strings.ReplaceAll(s.Error, "|", "/"))
			continue
		}
		ratio := ""
		if s.Program != ours && own > 0 {
			ratio = fmt.Sprintf("%.2f ×", own/s.median())
		}
		fmt.Fprintf(&b, "| %s | %.0f | %d | %s |\n", s.Program, s.median(), len(s.Rates), ratio)
	}
	return b.String()
}

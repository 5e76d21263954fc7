package render

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"ablate/reports"
)

// latexHead lists what a document that includes the table needs. It prints signs that pdfLaTeX
// has no glyph for as their code points; XeLaTeX and LuaLaTeX print the signs themselves.
//
// The notes are those of the package threeparttable. A document that does not load it has them across the page.
const latexHead = `% The document that takes this in needs \usepackage{booktabs} and \usepackage{siunitx}; with
% \usepackage{threeparttable} the notes are as wide as the table.
\providecommand{\ablateunicode}[2]{\ifdefined\XeTeXrevision#2\else\ifdefined\directlua#2\else\texttt{U+#1}\fi\fi}
\ifcsname threeparttable\endcsname\else
\newenvironment{threeparttable}{}{}
\newcommand{\tnote}[1]{\textsuperscript{#1}}
\newenvironment{tablenotes}[1][]{\def\item[##1]{\par\textsuperscript{##1}\kern.15em\ignorespaces}\par\smallskip
\begin{minipage}{\linewidth}\footnotesize\raggedright}{\end{minipage}}
\fi
`

// latexUsual lists the columns that fit a page's text width. What a variant changes is printed below the table.
var latexUsual = []string{"error", "delta", "p", "verdict"}

// writeLatex prints a table environment for \input: rules of booktabs, numbers
// lined up by siunitx, notes below.
func writeLatex(b *bytes.Buffer, c *reports.Comparison) error {
	d, err := latexTable(c)
	if err != nil {
		return err
	}
	return printLatex(b, d)
}

// latexTable makes a table of the columns that fit a page, unless others were asked for.
func latexTable(c *reports.Comparison) (Table, error) {
	few := len(c.Options.Columns) == 0 && c.Shape != reports.Matrix
	if few {
		narrow := *c
		narrow.Options.Columns = latexUsual
		c = &narrow
	}
	d, err := New(c)
	if err != nil {
		return d, err
	}
	if few {
		var changes []string
		for _, r := range c.Rows {
			if len(r.Changes) > 0 {
				changes = append(changes, reports.Sanitize(r.Variant)+": "+changed(r))
			}
		}
		if len(changes) > 0 {
			d.Notes = append([]string{strings.Join(changes, "; ")}, d.Notes...)
		}
	}
	return d, nil
}

// printLatex prints a table after comments on what its document needs.
func printLatex(b *bytes.Buffer, d Table) error {
	b.WriteString(latexHead)
	writeLatexTable(b, d)
	return nil
}

func writeLatexTable(b *bytes.Buffer, d Table) {
	if len(d.Columns) == 0 { // a list of tables, printed one after the other
		for _, n := range d.Notes {
			fmt.Fprintf(b, "\\noindent %s\\par\n", latex(reports.Sanitize(n)))
		}
		for _, m := range d.More {
			fmt.Fprintln(b)
			writeLatexTable(b, m)
		}
		return
	}
	kinds := make([]string, len(d.Columns))
	for i := range d.Columns {
		kinds[i] = columnKind(d, i)
	}
	fmt.Fprintf(b, "\\begin{table}\n\\centering\n\\footnotesize\n\\setlength{\\tabcolsep}{2pt}\n"+
		"\\begin{threeparttable}\n\\caption{%s}\n\\label{tab:%s}\n", latex(d.Title), latexLabel(d.Name))
	if len(d.Rows) > 0 {
		fmt.Fprintf(b, "\\begin{tabular}{%s}\n\\toprule\n", strings.Join(kinds, " "))
		heads := make([]string, len(d.Columns))
		for i, c := range d.Columns {
			heads[i] = "{" + latexHeadOf(c) + "}"
		}
		fmt.Fprintf(b, "%s \\\\\n\\midrule\n", strings.Join(heads, " & "))
		for _, r := range d.Rows {
			cells := make([]string, len(r))
			for i, c := range r {
				cells[i] = latexCell(c, strings.HasPrefix(kinds[i], "S"))
			}
			fmt.Fprintf(b, "%s \\\\\n", strings.Join(cells, " & "))
		}
		fmt.Fprint(b, "\\bottomrule\n\\end{tabular}\n")
	}
	writeLatexNotes(b, d)
	fmt.Fprint(b, "\\end{threeparttable}\n\\end{table}\n")
	for _, m := range d.More {
		fmt.Fprintln(b)
		writeLatexTable(b, m)
	}
}

// writeLatexNotes prints the notes below a table.
func writeLatexNotes(b *bytes.Buffer, d Table) {
	if len(d.Footnotes)+len(d.Notes) == 0 {
		return
	}
	fmt.Fprint(b, "\\begin{tablenotes}[flushleft]\n\\footnotesize\\raggedright\n")
	for i, n := range d.Footnotes {
		fmt.Fprintf(b, "\\item[%d] %s\n", i+1, latex(reports.Sanitize(n)))
	}
	for _, n := range d.Notes {
		fmt.Fprintf(b, "\\item[] %s\n", latex(reports.Sanitize(n)))
	}
	fmt.Fprint(b, "\\end{tablenotes}\n")
}

// latexHeadOf breaks the head of a column of figures into two lines if it would be wider than the figures.
func latexHeadOf(c Column) string {
	first, rest, two := strings.Cut(c.Head, " ")
	if !c.Right || !two || width(c.Head) <= latexWords/2 {
		return latex(c.Head)
	}
	return `\shortstack{` + latex(first) + `\\` + latex(rest) + `}`
}

// plainNumber matches the numbers that siunitx aligns: "−0.17", "12.31 ± 0.18".
var plainNumber = regexp.MustCompile(`^([+−]?)([0-9]+)(?:\.([0-9]+))?(?: ± ([0-9]+)(?:\.([0-9]+))?)?$`)

// latexWords is how many letters of a column of words fit on one line.
const latexWords = 14

// columnKind returns a column's letter for tabular: S if its cells are numbers.
func columnKind(d Table, i int) string {
	sign, whole, decimals, spread, numbers := "", 0, 0, 0, 0
	longest := 0
	for _, r := range d.Rows {
		text := r[i].Text
		longest = max(longest, width(text))
		if text == reports.None {
			continue
		}
		m := plainNumber.FindStringSubmatch(text)
		if m == nil {
			numbers = -len(d.Rows)
			continue
		}
		numbers++
		if m[1] != "" {
			sign = "+"
		}
		whole, decimals = max(whole, len(m[2])), max(decimals, len(m[3]))
		if m[4] != "" {
			spread = max(spread, len(strings.TrimLeft(m[4], "0"))+len(m[5]))
		}
	}
	limit := d.Columns[i].Wrap
	switch {
	case numbers > 0 && spread > 0:
		return fmt.Sprintf("S[separate-uncertainty, table-format=%s%d.%d(%d)]", sign, whole, decimals, spread)
	case numbers > 0:
		return fmt.Sprintf("S[table-format=%s%d.%d]", sign, whole, decimals)
	case limit > 0 && longest > latexWords:
		return `>{\raggedright\arraybackslash}p{0.165\linewidth}`
	case d.Columns[i].Right:
		return "r"
	}
	return "l"
}

// latexCell writes a cell. In a number column, text is wrapped in braces.
func latexCell(c Cell, number bool) string {
	if number && plainNumber.MatchString(c.Text) {
		return strings.NewReplacer("−", "-", "±", "+-").Replace(c.Text)
	}
	text := latex(c.Text)
	if c.Bold {
		text = `\textbf{` + text + "}"
	}
	if len(c.Marks) > 0 {
		numbers := make([]string, len(c.Marks))
		for i, m := range c.Marks {
			numbers[i] = itoa(m)
		}
		text += `\tnote{` + strings.Join(numbers, ",") + "}"
	}
	if number {
		return "{" + text + "}"
	}
	return text
}

// latexSigns maps the characters that LaTeX would interpret, and those that pdfLaTeX knows only by name.
var latexSigns = map[rune]string{
	'\\': `\textbackslash{}`, '{': `\{`, '}': `\}`, '$': `\$`, '&': `\&`, '#': `\#`, '%': `\%`, '_': `\_`,
	'^': `\textasciicircum{}`, '~': `\textasciitilde{}`, '<': `\textless{}`, '>': `\textgreater{}`,
	'|': `\textbar{}`, '"': `\char34{}`, '\'': `\textquotesingle{}`, '`': `\textasciigrave{}`,
	'[': `{[}`, '*': `{*}`, // after the \\ of the line before, they would be its argument
	'−': `$-$`, '±': `$\pm$`, 'Δ': `$\Delta$`, '≥': `$\geq$`, '≤': `$\leq$`, '×': `$\times$`, '→': `$\rightarrow$`,
	'·': `$\cdot$`, '–': `--`, '…': `\dots{}`, '✓': `$\surd$`, 'µ': `$\mu$`,
	'\u2068': "", '\u2069': "", // isolates of clean: TeX sets one cell at a time anyway
}

// latex escapes words so that LaTeX prints them literally.
func latex(s string) string {
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		sign, known := latexSigns[r]
		switch {
		case r == '\'' && within(runes, i): // an apostrophe
			b.WriteRune(r)
		case known:
			b.WriteString(sign)
		case (r == '-' || r == ',') && i+1 < len(runes) && runes[i+1] == r: // no ligature: --set is no dash
			b.WriteString(string(r) + "{}")
		case r < unicode.MaxASCII:
			b.WriteRune(r)
		case latin1(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\ablateunicode{%04X}{%c}`, r, r)
		}
	}
	return b.String()
}

// latexLabel keeps the characters of a name that a label may contain.
func latexLabel(name string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-.+", r)) {
			return r
		}
		return -1
	}, name)
}

// latin1 reports whether every TeX has the accented letter. Eth and thorn are missing in the old encoding.
func latin1(r rune) bool {
	return r >= 'À' && r <= 'ÿ' && unicode.IsLetter(r) && !strings.ContainsRune("ÐðÞþ", r)
}

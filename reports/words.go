package reports

// Words is a comparison's table as words, for pages that lay it out themselves.
type Words struct {
	Title     string
	Head      []string
	Right     []bool // columns of figures
	Rows      [][]Word
	Footnotes []string // the first has mark 1
	Notes     []string
	More      []Words // tables that follow
}

// A Word is a cell: its text, the marks of its footnotes, and whether the statistics carry what it claims.
type Word struct {
	Text  string
	Marks []int
	Bold  bool
}

// Words gives the table as words, as every other format prints it.
func (c *Comparison) Words() (Words, error) {
	d, err := c.table()
	if err != nil {
		return Words{}, err
	}
	return d.words(), nil
}

func (d document) words() Words {
	w := Words{Title: d.title, Footnotes: d.footnotes, Notes: d.notes}
	for _, c := range d.columns {
		w.Head, w.Right = append(w.Head, c.head), append(w.Right, c.right)
	}
	for _, r := range d.rows {
		var row []Word
		for _, c := range r {
			row = append(row, Word{c.text, c.marks, c.bold})
		}
		w.Rows = append(w.Rows, row)
	}
	for _, m := range d.more {
		w.More = append(w.More, m.words())
	}
	return w
}

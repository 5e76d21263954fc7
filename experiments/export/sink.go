package export

import (
	"context"
	"fmt"
)

// A Study holds the records of a study at one moment.
type Study struct {
	Name  string
	Runs  []Run    // by variant and seed
	Keys  []string // keys of the recipes that differ between the variants
	Files []File   // the table and the page, once the study has ended
}

// A File is a file that belongs to a study.
type File struct {
	Name string
	Text []byte
}

// A Sink is another program's copy of a study's records.
type Sink interface {
	// Name returns the kind of sink and its location, for messages.
	Name() string
	// Sync brings the sink up to date with the study's records. It sends nothing twice, so that it may be called again
	// after an error.
	Sync(ctx context.Context, s Study) error
}

// Stamp changes whenever the data that a sink receives about a run changes.
func (r Run) Stamp() string {
	return fmt.Sprint(r.Identity, len(r.Attempts), r.Status, len(r.Metrics), r.Notes)
}

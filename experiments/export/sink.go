package export

import (
	"context"
	"fmt"
)

// A Study is what is recorded of a study at one moment.
type Study struct {
	Name  string
	Runs  []Run    // by variant and seed
	Keys  []string // of the recipes, that differ between the variants
	Files []File   // the table and the page, once the study has ended
}

// A File is one that goes with a study.
type File struct {
	Name string
	Text []byte
}

// A Sink is another program's record of a study.
type Sink interface {
	// Name says what and where it is, for messages.
	Name() string
	// Sync brings it up to the study's records. It sends nothing twice, so that it
	// may be called again after an error.
	Sync(ctx context.Context, s Study) error
}

// Stamp changes whenever what a sink is told of a run does.
func (r Run) Stamp() string {
	return fmt.Sprint(r.Identity, len(r.Attempts), r.Status, len(r.Metrics), r.Notes)
}

package configs

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// validName matches names that can be folders on every system.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_+.-]{0,99}$`)

// maxName is the longest name to which a file system can still append a suffix.
const maxName = 200

// Names that some file system cannot store (Windows' devices, names that end in a dot), and names
// of ablate's own files and folders in the folder of a study.
var (
	deviceName = regexp.MustCompile(`^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$`)
	ownName    = regexp.MustCompile(`^(index\.sqlite.*|seed-[0-9]+|` +
		`(report|study|run|metrics|predictions|times|notes|log)\.[a-z]+)$`)
)

// checkName refuses a name of a study or variant that cannot be a folder.
func checkName(name string) error {
	switch {
	case !validName.MatchString(name):
		return errors.New("names are lower-case letters, digits and - _ . +, at most 100, a letter or digit first")
	case strings.HasSuffix(name, "."):
		return errors.New("a name must not end in a dot, which some file systems drop")
	case deviceName.MatchString(name):
		return errors.New("the name is reserved for a device on Windows; choose another")
	case ownName.MatchString(name):
		return errors.New("records use this name for files or folders; choose another")
	}
	return nil
}

// checkCombination refuses a name of a design's variant that is too long for a folder.
func checkCombination(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("its name has %d letters, more than the %d of a folder; shorten the components' names", len(name),
			maxName)
	}
	return nil
}

package configs

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// validName keeps names usable as folders everywhere.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_+.-]{0,99}$`)

// maxName is the longest name that a file system may hold with what is put after it.
const maxName = 200

// Names that a file system cannot hold everywhere (Windows' devices, whatever
// stands after a dot), and those of ablate's own files and folders in a study's.
var (
	deviceName = regexp.MustCompile(`^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$`)
	ownName    = regexp.MustCompile(`^(index\.sqlite.*|seed-[0-9]+|` +
		`(report|study|run|metrics|predictions|times|notes|log)\.[a-z]+)$`)
)

// checkName refuses the name of a study or variant that cannot be its folder's.
func checkName(name string) error {
	switch {
	case !validName.MatchString(name):
		return errors.New("names are lower-case letters, digits and - _ . +, at most 100, a letter or digit first")
	case strings.HasSuffix(name, "."):
		return errors.New("a name does not end in a dot, which not every file system keeps")
	case deviceName.MatchString(name):
		return errors.New("the name is a device's on Windows; take another")
	case ownName.MatchString(name):
		return errors.New("records have files or folders of this name; take another")
	}
	return nil
}

// checkCombination refuses the name of a design's variant that is too long for a folder.
func checkCombination(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("its name is %d letters long, a folder's at most %d; shorten the components' names", len(name),
			maxName)
	}
	return nil
}

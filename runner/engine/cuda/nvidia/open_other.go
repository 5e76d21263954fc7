//go:build !linux || !(amd64 || arm64) || nogpu

package nvidia

import "errors"

// open loads nothing. The libraries are looked for on Linux only, and a program built with the tag nogpu is static:
// it cannot load any.
func open([]candidate, any) (string, error) {
	return "", errors.New("CUDA is supported on Linux, on amd64 and arm64, in a program built without the tag nogpu")
}

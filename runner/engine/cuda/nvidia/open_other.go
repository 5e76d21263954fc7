//go:build !linux || !(amd64 || arm64)

package nvidia

import "errors"

// open loads nothing: the libraries are looked for on Linux only.
func open([]candidate, any) (string, error) {
	return "", errors.New("CUDA is supported on Linux, on amd64 and arm64")
}

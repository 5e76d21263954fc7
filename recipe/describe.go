package recipe

import (
	"embed"
	"reflect"

	"ablate/strictyaml"
)

// The comments on the keys also describe them to users.
//
//go:embed *.go
var source embed.FS

// ReadComments adds this package's comments on types and fields.
func ReadComments(c strictyaml.Comments) error {
	return c.ReadComments(reflect.TypeFor[Recipe]().PkgPath(), source)
}

package configs

import "fmt"

// Parallel says what several devices share.
type Parallel string

const (
	// ByColumns assigns columns of the net to each device, like the paper's two GPUs (section 3.2).
	// The result is the same as on one device.
	ByColumns Parallel = "columns"
	// ByData assigns images of every batch to each device. A batch is cut into fixed parts whose
	// gradients are added in a fixed order, so the result does not depend on the number of devices.
	// It does depend on the number of parts, which belongs to the recipe.
	ByData Parallel = "data"
)

// DefaultChunks is the number of parts of a batch if train.micro_batches is not set: enough for
// four devices.
const DefaultChunks = 4

// Chunks returns a recipe's train.micro_batches: its own value, or the one that the scheme needs.
// Without a scheme, devices share columns, or data if the recipe cuts batches.
func (p Parallel) Chunks(said int) (int, error) {
	switch p {
	case "":
		return said, nil
	case ByColumns:
		if said > 0 {
			return 0, fmt.Errorf("columns cannot be combined with train.micro_batches %d; drop one of them", said)
		}
		return 0, nil
	case ByData:
		if said == 0 {
			said = DefaultChunks
		}
		return said, nil
	}
	return 0, fmt.Errorf("unknown scheme %q; want columns or data", string(p))
}

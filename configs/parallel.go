package configs

import "fmt"

// Parallel is what several devices share.
type Parallel string

const (
	// ByColumns assigns to each device columns of the net, as the paper's two GPUs had
	// (section 3.2). The result is that of one device.
	ByColumns Parallel = "columns"
	// ByData assigns to each device images of every batch. A batch is cut into fixed
	// chunks whose gradients are added in a fixed order, so the result does not
	// depend on the number of devices; it does on the chunks, which are part of the recipe.
	ByData Parallel = "data"
)

// DefaultChunks is how many chunks a batch is cut into where train.micro_batches does
// not say: enough for four devices.
const DefaultChunks = 4

// Chunks is a recipe's train.micro_batches: what it says itself, or what the scheme
// needs. Without a scheme there are columns, or data where the recipe has chunks.
func (p Parallel) Chunks(said int) (int, error) {
	switch p {
	case "":
		return said, nil
	case ByColumns:
		if said > 0 {
			return 0, fmt.Errorf("columns does not go with train.micro_batches %d, which cuts batches; leave one out", said)
		}
		return 0, nil
	case ByData:
		if said == 0 {
			said = DefaultChunks
		}
		return said, nil
	}
	return 0, fmt.Errorf("%q is not known; write columns or data", string(p))
}

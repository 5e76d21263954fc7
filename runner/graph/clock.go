package graph

// A Clock holds the seed of a graph's run and the number of its step; dropout masks depend on
// them.
type Clock struct {
	Seed         uint64
	Step         uint64
	DropoutUntil bool // dropout acts as in evaluation
}

package graph

// A Clock says which step of which run a graph is at; dropout masks depend on it.
type Clock struct {
	Seed         uint64
	Step         uint64
	DropoutUntil bool // dropout acts as in evaluation
}

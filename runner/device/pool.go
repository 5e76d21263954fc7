package device

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"ablate/recipe"
	"ablate/runner/engine"
)

// A Pool opens the devices that the runs of a study ask for, and keeps them open for later runs.
type Pool struct {
	list    string
	threads int
	groups  map[string]*engine.Group
}

// NewPool makes a pool whose runs train on the devices of a list, unless a run asks for others.
// threads is the total number for all devices of a run, 0 for all cores.
func NewPool(list string, threads int) *Pool {
	return &Pool{list: list, threads: threads, groups: map[string]*engine.Group{}}
}

// Get returns the devices of a list, or the pool's own devices if the list is empty.
func (p *Pool) Get(list string) (*engine.Group, error) {
	if list == "" {
		list = p.list
	}
	if g, ok := p.groups[list]; ok {
		return g, nil
	}
	g, err := Open(list, p.threads)
	if err != nil {
		return nil, err
	}
	p.groups[list] = g
	return g, nil
}

// Hardware returns the names of the devices that have been opened so far.
func (p *Pool) Hardware() string {
	var kinds []string
	for _, list := range slices.Sorted(maps.Keys(p.groups)) {
		kinds = append(kinds, p.groups[list].Hardware(recipe.Float32))
	}
	return strings.Join(slices.Compact(kinds), "; ")
}

// Close stops all devices. A later Get opens them again.
func (p *Pool) Close() error {
	var errs []error
	for _, g := range p.groups {
		errs = append(errs, g.Close())
	}
	clear(p.groups)
	return errors.Join(errs...)
}

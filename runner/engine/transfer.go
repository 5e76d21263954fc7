package engine

import "ablate/runner/graph"

// A Gather copies to a device its part, as cut by To, of a tensor that the devices hold cut by From.
// All values that move between devices move by gathers. In holds the tensor's part on every device, in
// the order of the devices. If each device holds the whole tensor, In holds only the device's own
// copy.
type Gather struct {
	From, To graph.Sharding
	Part, Of int
	InPlace  bool // Out already holds the device's own part
}

// A Stretch is a run of N values that a Gather copies from offset From of In[Part] to offset To of Out.
type Stretch struct{ Part, From, To, N int }

// Stretches calls f for every run of values that a Gather copies.
func (m Gather) Stretches(f func(Stretch)) {
	copies := func(first, n, to int) {
		m.From.Runs(m.Of, first, n, func(part, off, at, n int) {
			if !m.InPlace || part != m.Part {
				f(Stretch{Part: part, From: off, To: to + at, N: n})
			}
		})
	}
	if m.To.Whole() {
		copies(0, m.From.Len(), 0)
		return
	}
	first, n := m.To.Block(m.Part, m.Of)
	for o := range m.To.Outer {
		copies((o*m.To.Length+first)*m.To.Inner, n*m.To.Inner, o*n*m.To.Inner)
	}
}

// moved returns how many bytes come from other devices.
func (m Gather) moved() (bytes int64) {
	if m.From.Whole() {
		return 0
	}
	m.Stretches(func(s Stretch) {
		if s.Part != m.Part {
			bytes += 4 * int64(s.N)
		}
	})
	return bytes
}

// A Reduce adds tensors into In[0], which is also Out. Their number is a power of 2, and they are
// added in pairs, pairs of pairs and so on. A Reduce may overwrite the other inputs. Then it
// multiplies the sum by Scale.
type Reduce struct{ Scale float32 }

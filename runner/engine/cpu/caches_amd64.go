//go:build amd64 && !noasm

package cpu

// cacheSizes returns the bytes of a core's data caches of the first two levels, 0 where the CPU does
// not report them.
func cacheSizes() (first, second int) {
	for _, leaf := range []uint32{4, 0x8000001d} { // Intel's leaf, and AMD's, which has the same form
		if most, _, _ := cpuid(leaf&0x80000000, 0); most < leaf {
			continue
		}
		for sub := uint32(0); sub < 16; sub++ {
			a, b, c := cpuid(leaf, sub)
			kind, level := a&31, a>>5&7
			if kind == 0 {
				break
			}
			size := int(b>>22+1) * int(b>>12&1023+1) * int(b&4095+1) * int(c+1) // ways, partitions, lines, sets
			const instructions = 2
			switch {
			case level == 1 && kind != instructions:
				first = size
			case level == 2 && kind != instructions:
				second = size
			}
		}
		if first > 0 {
			return first, second
		}
	}
	return 0, 0
}

var firstLevel, secondLevel = cacheSizes()

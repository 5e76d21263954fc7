package cpu

import (
	"fmt"
	"testing"

	"ablate/runner/engine"
	"ablate/runner/engine/enginetest"
)

func open(t *testing.T, threads int) *Device {
	t.Helper()
	dev, err := New("cpu", threads)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) engine.Device { return open(t, 3) })
}

// The number of threads must not change a bit of the weights.
func TestThreadsDoNotMatter(t *testing.T) {
	var want [32]byte
	for _, threads := range []int{1, 2, 3, 7} {
		dev := open(t, threads)
		got := enginetest.Digest(t, dev, 5)
		dev.Close()
		if threads == 1 {
			want = got
		}
		if got != want {
			t.Errorf("%d threads train other weights than 1", threads)
		}
	}
}

// AVX2 and AVX-512 train the same weights, bit for bit.
func TestInstructionSetsDoNotMatter(t *testing.T) {
	var want [32]byte
	for i, p := range isas() {
		if p == &goISA {
			continue // it rounds twice per multiply-add, where the others round once
		}
		dev := open(t, 2)
		dev.isa = p
		got := enginetest.Digest(t, dev, 20)
		dev.Close()
		if i == 0 {
			want = got
		}
		if got != want {
			t.Errorf("%s trains other weights than %s", p.name, isas()[0].name)
		}
	}
}

// Every instruction set passes the suite, not only the fastest.
func TestConformanceOfInstructionSets(t *testing.T) {
	for _, p := range isas()[1:] {
		t.Run(p.name, func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T) engine.Device {
				dev := open(t, 2)
				dev.isa = p
				return dev
			})
		})
	}
}

type panics struct{}

func (panics) tile(_, i int) {
	if i == 3 {
		panic("tile 3")
	}
}

// A panic in a worker must become an error, and the pool must go on working.
func TestPanicBecomesAnError(t *testing.T) {
	w := newWorkers(2)
	defer w.close()
	for range 3 {
		if err := w.run(panics{}, 8); err == nil {
			t.Fatal("no error")
		}
	}
}

// Two columns on two devices, and chunks of a batch on up to four, train the weights of one device.
func TestDivide(t *testing.T) {
	for _, p := range isas() {
		t.Run(p.name, func(t *testing.T) {
			enginetest.Divide(t, 1, func(t *testing.T, number int) engine.Device {
				dev, err := New(fmt.Sprintf("cpu:%d", number), 1+number%2)
				if err != nil {
					t.Fatal(err)
				}
				dev.isa = p
				return dev
			})
		})
	}
}

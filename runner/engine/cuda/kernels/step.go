package kernels

import (
	"encoding/binary"
	"fmt"
	"math"

	"ablate/runner/engine"
	"ablate/runner/random"
)

// StepLen is the size in bytes of the block that launches read from Bindings.Step.
const StepLen = stepHead + maxSlots*slotLen

const (
	stepHead = 16 // struct Step of prelude.cu
	slotLen  = 16 // struct Rule and struct Stream
	maxSlots = 4095
)

// A Step holds everything that changes between runs, as the kernels read it: step, momentum, whether
// dropout is off, and the slots that Lower takes. Slots hold the rates of the parameters that
// instructions update, and the keys of the random streams that they draw from. One Step serves all
// programs of a device. It is not safe for use by several goroutines.
type Step struct {
	slots []slot
	index map[any]int32 // by engine.Update or stream
	seed  uint64        // the seed of the streams' keys
	keyed int           // number of slots whose keys are set
	buf   []byte
}

// A slot holds a parameter's rates or, with of, the key of a stream.
type slot struct {
	update engine.Update
	of     func(seed uint64) random.Stream
	key    [2]uint32
}

// stream names the random stream of a layer.
type stream struct{ kind, layer string }

// NewStep returns a block without slots.
func NewStep() *Step { return &Step{index: map[any]int32{}, buf: make([]byte, stepHead)} }

// Bytes returns the block for a run, from its first byte to the last one used. It is valid until the
// next call.
func (s *Step) Bytes(c *engine.Context) []byte {
	s.key(c.Seed)
	b := s.buf
	binary.LittleEndian.PutUint64(b, c.Step)
	binary.LittleEndian.PutUint32(b[8:], math.Float32bits(float32(c.Momentum)))
	binary.LittleEndian.PutUint32(b[12:], uint32(boolean(c.DropoutUntil)))
	for i := range s.slots {
		slot, to := &s.slots[i], b[stepHead+i*slotLen:]
		if slot.of != nil {
			binary.LittleEndian.PutUint32(to, slot.key[0])
			binary.LittleEndian.PutUint32(to[4:], slot.key[1])
			continue
		}
		r := slot.update.Rates(c)
		binary.LittleEndian.PutUint32(to, math.Float32bits(r.Rate))
		binary.LittleEndian.PutUint32(to[4:], math.Float32bits(r.Decay))
		binary.LittleEndian.PutUint32(to[8:], uint32(boolean(r.Frozen)))
		binary.LittleEndian.PutUint32(to[12:], math.Float32bits(r.Correction))
	}
	return b
}

// key computes the streams' keys for a seed, which all steps of a run share.
func (s *Step) key(seed uint64) {
	if seed != s.seed {
		s.seed, s.keyed = seed, 0
	}
	for ; s.keyed < len(s.slots); s.keyed++ {
		if slot := &s.slots[s.keyed]; slot.of != nil {
			slot.key = slot.of(seed).Key()
		}
	}
}

// rule returns the number of the slot with an update's rates.
func (s *Step) rule(u engine.Update) (int32, error) { return s.slot(u, slot{update: u}) }

// stream returns the number of the slot with a stream's key.
func (s *Step) stream(name stream, of func(seed uint64) random.Stream) (int32, error) {
	return s.slot(name, slot{of: of})
}

func (s *Step) slot(of any, new slot) (int32, error) {
	if i, ok := s.index[of]; ok {
		return i, nil
	}
	if len(s.slots) == maxSlots {
		return 0, fmt.Errorf("more than %d parameters and random layers on one device", maxSlots)
	}
	i := int32(len(s.slots))
	s.index[of] = i
	s.slots = append(s.slots, new)
	s.buf = append(s.buf, make([]byte, slotLen)...)
	return i, nil
}

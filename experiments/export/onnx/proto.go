package onnx

import (
	"encoding/binary"
	"math"

	"ablate/arch"
	"ablate/experiments/export/protobuf"
)

// TensorProto.DataType.
const (
	typeFloat = 1
	typeUint8 = 2
	typeInt64 = 7
)

// floats adds a TensorProto; no shape makes it a scalar.
func (b *builder) floats(name string, v []float32, shape ...int) string {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	var m protobuf.Message
	for _, d := range shape {
		m = m.Int(1, int64(d))
	}
	b.initializers = append(b.initializers, m.Int(2, typeFloat).String(8, name).Bytes(9, raw))
	return name
}

func (b *builder) int64s(name string, v []int64) string {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	m := protobuf.Message{}.Int(1, int64(len(v))).Int(2, typeInt64).String(8, name).Bytes(9, raw)
	b.initializers = append(b.initializers, m)
	return name
}

// AttributeProto.AttributeType.
const (
	attributeFloat    = 1
	attributeInt      = 2
	attributeIntegers = 7
)

func integer(name string, v int) protobuf.Message {
	return protobuf.Message{}.String(1, name).Int(3, int64(v)).Int(20, attributeInt)
}

func float(name string, v float64) protobuf.Message {
	return protobuf.Message{}.String(1, name).Float(2, float32(v)).Int(20, attributeFloat)
}

func integers(name string, v ...int) protobuf.Message {
	m := protobuf.Message{}.String(1, name)
	for _, x := range v {
		m = m.Int(8, int64(x))
	}
	return m.Int(20, attributeIntegers)
}

func pads(p arch.Pad) protobuf.Message { return integers("pads", p.Top, p.Left, p.Bottom, p.Right) }

func window(l arch.Pool) []protobuf.Message {
	ceil := 0
	if l.Ceil {
		ceil = 1
	}
	return []protobuf.Message{
		integers("kernel_shape", l.Kernel, l.Kernel), integers("strides", l.Stride, l.Stride),
		pads(l.Pad), integer("ceil_mode", ceil),
	}
}

// valueInfo describes the type and shape of an input or output. A string is a dimension of any size.
func valueInfo(name string, element int64, dims ...any) protobuf.Message {
	var shape protobuf.Message
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			shape = shape.Bytes(1, protobuf.Message{}.Int(1, int64(d)))
		case string:
			shape = shape.Bytes(1, protobuf.Message{}.String(2, d))
		}
	}
	tensor := protobuf.Message{}.Int(1, element).Bytes(2, shape)
	return protobuf.Message{}.String(1, name).Bytes(2, protobuf.Message{}.Bytes(1, tensor))
}

// Package protobuf writes protocol buffer messages field by field, for formats
// of which only a handful of messages is needed. Generated code would be larger
// than this package.
package protobuf

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Message is an encoded message. Each method returns the message with one more field.
type Message []byte

// Int appends an int32, int64, enum or bool field.
func (m Message) Int(field protowire.Number, v int64) Message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

// Bytes appends a bytes field or an embedded message.
func (m Message) Bytes(field protowire.Number, v []byte) Message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
}

// String appends a string field.
func (m Message) String(field protowire.Number, v string) Message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), v)
}

// Float appends a float field.
func (m Message) Float(field protowire.Number, v float32) Message {
	return protowire.AppendFixed32(protowire.AppendTag(m, field, protowire.Fixed32Type), math.Float32bits(v))
}

// Double appends a double field.
func (m Message) Double(field protowire.Number, v float64) Message {
	return protowire.AppendFixed64(protowire.AppendTag(m, field, protowire.Fixed64Type), math.Float64bits(v))
}

package export

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
)

// WriteParquet writes a table for pandas and polars. Each column has its type, and null where there is no value.
func (t Table) WriteParquet(w io.Writer) error {
	schema := parquet.NewSchema("ablate", t.group())
	out := parquet.NewGenericWriter[any](w, schema, parquet.Compression(&parquet.Zstd),
		parquet.CreatedBy("ablate", "", ""))
	const batch = 1 << 12
	var lines []parquet.Row
	flush := func() error {
		_, err := out.WriteRows(lines)
		lines = lines[:0]
		return err
	}
	for row, err := range t.Rows {
		if err != nil {
			return err
		}
		line := make(parquet.Row, len(row))
		for i, v := range row {
			if line[i], err = value(v, i); err != nil {
				return fmt.Errorf("column %s: %w", t.Columns[i].Name, err)
			}
		}
		if lines = append(lines, line); len(lines) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return out.Close()
}

// A group is a row whose columns keep their order. parquet.Group would sort them by name.
type group struct {
	parquet.Group
	order []string
}

func (g group) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(g.order, a.Name()) - slices.Index(g.order, b.Name())
	})
	return fields
}

func (t Table) group() group {
	g := group{Group: parquet.Group{}}
	for _, c := range t.Columns {
		g.order = append(g.order, c.Name)
		g.Group[c.Name] = parquet.Optional(map[Kind]parquet.Node{
			Text: parquet.String(), Int: parquet.Int(64), Uint: parquet.Uint(64), Float: parquet.Leaf(parquet.DoubleType),
			Bool: parquet.Leaf(parquet.BooleanType), Time: parquet.Timestamp(parquet.Microsecond),
		}[c.Kind])
	}
	return g
}

// value returns a cell of a column. The definition level of an optional column is 1 where it has a value.
func value(v any, column int) (parquet.Value, error) {
	var x parquet.Value
	switch v := v.(type) {
	case nil:
		return parquet.NullValue().Level(0, 0, column), nil
	case string:
		x = parquet.ByteArrayValue([]byte(v))
	case int64:
		x = parquet.Int64Value(v)
	case uint64:
		x = parquet.Int64Value(int64(v))
	case float64:
		x = parquet.DoubleValue(v)
	case bool:
		x = parquet.BooleanValue(v)
	case time.Time:
		x = parquet.Int64Value(v.UnixMicro())
	default:
		return x, fmt.Errorf("a value of type %T has no form in Parquet", v)
	}
	return x.Level(0, 1, column), nil
}

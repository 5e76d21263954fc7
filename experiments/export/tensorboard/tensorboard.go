// Package tensorboard writes the records of a study as TensorBoard event files.
//
// The file format is TFRecord frames of tensorflow.Event messages
// (tensorflow/core/lib/io/record_writer.h and tensorflow/core/util/event.proto);
// the hyperparameters follow tensorboard/plugins/hparams/api.proto.
package tensorboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/protobuf"
	"ablate/experiments/tfevents"
)

// A Sink is a folder of event files.
type Sink struct {
	dir  string
	sent map[string]string // by run: the state that the files are known to hold
}

// New returns a sink for a folder. The folder is made when there is something to write.
func New(dir string) *Sink { return &Sink{dir: dir, sent: map[string]string{}} }

// Name describes where the records go.
func (s *Sink) Name() string { return "TensorBoard in " + s.dir }

// Sync brings DIR/VARIANT/seed-N up to date with the records of a study: one event file for each attempt. A file grows
// as its attempt does, and keeps its bytes if the same records are written again. The HPARAMS page groups the seeds of
// a variant and averages them.
func (s *Sink) Sync(ctx context.Context, study export.Study) error {
	var errs []error
	for _, r := range study.Runs {
		stamp := fmt.Sprint(r.Stamp(), study.Keys)
		if s.sent[r.Name()] == stamp {
			continue
		}
		var failed error
		for n := range r.Attempts {
			path := filepath.Join(s.dir, r.Variant, fmt.Sprintf("seed-%d", r.Seed), fileName(r, n))
			if err := grow(path, events(r, n, study.Keys)); err != nil {
				failed = fmt.Errorf("%s: %w", r.Name(), err)
			}
		}
		if failed == nil {
			s.sent[r.Name()] = stamp
		}
		if errs = append(errs, failed); ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
	}
	return errors.Join(errs...)
}

// fileName returns a name that begins as TensorBoard requires and distinguishes attempts.
func fileName(r export.Run, attempt int) string {
	return fmt.Sprintf("events.out.tfevents.%010d.ablate.%d", r.Attempts[attempt].Started.Unix(), attempt+1)
}

// grow makes a file hold the events. If the file holds the first of them, as it does while a run logs, the rest is
// appended, since TensorBoard continues to read from its last position. Any other contents are replaced as a whole.
func grow(path string, events []byte) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rest, ok := bytes.CutPrefix(events, old)
	switch {
	case !ok || len(old) == 0:
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return experiments.WriteFile(path, events)
	case len(rest) == 0:
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(rest)
	return errors.Join(err, f.Close())
}

// events returns the frames of one attempt: the version, the hyperparameters, the scalars and, once the session has
// ended, how it ended.
func events(r export.Run, attempt int, keys []string) []byte {
	a := r.Attempts[attempt]
	started := seconds(a.Started)
	version := event(started, 0).String(3, "brain.Event:2").Bytes(10, protobuf.Message{}.String(1, "ablate"))
	out := tfevents.Append(nil, version)
	out = tfevents.Append(out, event(started, 0).Bytes(5, sessionStart(r, keys, started)))
	described := map[string]bool{}
	for _, m := range r.Metrics {
		if m.Attempt != attempt+1 {
			continue
		}
		value := scalar(m.Name, float32(m.Value), !described[m.Name])
		out = tfevents.Append(out, event(started+m.Seconds, m.Step).Bytes(5, value))
		described[m.Name] = true
	}
	if a.Ended.IsZero() {
		return out
	}
	last := attempt == len(r.Attempts)-1
	return tfevents.Append(out, event(seconds(a.Ended), 0).Bytes(5, sessionEnd(last && r.Status == experiments.Done,
		seconds(a.Ended))))
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func event(wallTime float64, step int64) protobuf.Message {
	return protobuf.Message{}.Double(1, wallTime).Int(2, step)
}

// scalar returns a Summary with one value. The first one of a tag describes the tag: plugin scalars, data class
// DATA_CLASS_SCALAR.
func scalar(tag string, value float32, first bool) protobuf.Message {
	v := protobuf.Message{}.String(1, tag).Float(2, value)
	if first {
		plugin := protobuf.Message{}.String(1, "scalars")
		v = v.Bytes(9, protobuf.Message{}.Bytes(1, plugin).Int(4, 1))
	}
	return protobuf.Message{}.Bytes(1, v)
}

// sessionStart returns HParamsPluginData.session_start_info. Its group name makes TensorBoard average over the sessions
// of a group: the seeds of a variant.
func sessionStart(r export.Run, keys []string, started float64) protobuf.Message {
	params := map[string]any{"variant": r.Variant, "seed": float64(r.Seed)}
	for _, k := range keys {
		if v, ok := r.Keys[k]; ok {
			params[k] = v
		}
	}
	var info protobuf.Message
	for _, k := range slices.Sorted(maps.Keys(params)) {
		info = info.Bytes(1, protobuf.Message{}.String(1, k).Bytes(2, value(params[k])))
	}
	info = info.String(4, r.Variant).Double(5, started)
	return hparams("_hparams_/session_start_info", protobuf.Message{}.Bytes(3, info))
}

// sessionEnd returns HParamsPluginData.session_end_info.
func sessionEnd(success bool, ended float64) protobuf.Message {
	const statusSuccess, statusFailure = 1, 2
	status := int64(statusFailure)
	if success {
		status = statusSuccess
	}
	return hparams("_hparams_/session_end_info", protobuf.Message{}.Bytes(4,
		protobuf.Message{}.Int(1, status).Double(2, ended)))
}

// hparams returns a Summary whose value is an empty float tensor, with the plugin's data beside it.
func hparams(tag string, data protobuf.Message) protobuf.Message {
	plugin := protobuf.Message{}.String(1, "hparams").Bytes(2, data)
	const float = 1 // DT_FLOAT
	tensor := protobuf.Message{}.Int(1, float).Bytes(2, nil)
	v := protobuf.Message{}.String(1, tag).Bytes(8, tensor).Bytes(9, protobuf.Message{}.Bytes(1, plugin))
	return protobuf.Message{}.Bytes(1, v)
}

// value returns a google.protobuf.Value.
func value(v any) protobuf.Message {
	switch v := v.(type) {
	case float64:
		return protobuf.Message{}.Double(2, v)
	case bool:
		if v {
			return protobuf.Message{}.Int(4, 1)
		}
		return protobuf.Message{}.Int(4, 0)
	default:
		return protobuf.Message{}.String(3, fmt.Sprint(v))
	}
}

package mlflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"ablate/experiments"
	"ablate/experiments/export"
)

// A file is an artifact: its name and how to read it.
type file struct {
	name string
	open func() (io.ReadCloser, error)
}

// runFiles returns a run's record, predictions and, on request, weights.
func (s *Sink) runFiles(r export.Run) ([]file, error) {
	if s.NoFiles {
		return nil, nil
	}
	dir, err := s.store.Dir(r.Record)
	if err != nil {
		return nil, err
	}
	paths := []string{experiments.RecordPath(dir), experiments.PredictionsPath(dir)}
	if s.Weights {
		paths = append(paths, experiments.WeightsPath(dir))
	}
	var files []file
	for _, path := range paths {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue // a run that failed has neither
		}
		files = append(files, file{filepath.Base(path), func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	return files, nil
}

// report stores a study's table and page in a run of their own.
func (x *experiment) report(ctx context.Context) error {
	if len(x.study.Files) == 0 || len(x.study.Runs) == 0 {
		return nil
	}
	tags := map[string]string{tagKind: "report", "ablate.study": x.study.Name,
		tagNote: "The comparison of " + x.study.Name + "'s variants."}
	remote, err := x.ensure(ctx, "report", began(x.study.Runs[0].Record), tags)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	u := update{run: remote, status: "FINISHED", ended: time.Now()}
	for _, f := range x.study.Files {
		u.files = append(u.files, file{f.Name, func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(f.Text)), nil
		}})
	}
	if err := x.apply(ctx, u); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// upload sends the files whose digests are not in the run's tags.
func (x *experiment) upload(ctx context.Context, remote run, files []file) error {
	tags := values(remote.Data.Tags)
	for _, f := range files {
		digest, size, err := measure(f)
		if err != nil {
			return err
		}
		if tags[tagFile+f.name] == digest {
			continue
		}
		folder, err := x.artifacts(remote.Info.Artifact)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		r := request{method: http.MethodPut, path: folder + "/" + f.name, kind: "application/octet-stream", size: size,
			body: f.open}
		if err := x.client.call(ctx, r, nil); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		set := map[string]any{"run_id": remote.Info.ID, "key": tagFile + f.name, "value": digest}
		if err := x.client.post(ctx, "runs/set-tag", set, nil); err != nil {
			return err
		}
	}
	return nil
}

func measure(f file) (digest string, size int64, err error) {
	r, err := f.open()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	h := sha256.New()
	size, err = io.Copy(h, r)
	return fmt.Sprintf("%x", h.Sum(nil)), size, err
}

// ErrArtifacts is the error for a server that does not accept files itself.
var ErrArtifacts = errors.New("the server takes no files")

// artifacts returns the path under which a server accepts the files of a run.
func (x *experiment) artifacts(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "mlflow-artifacts" || u.Host != "" && u.Host != x.client.base.Host {
		return "", fmt.Errorf("%w but keeps them at %s: start it with --serve-artifacts, or export with --no-files",
			ErrArtifacts, uri)
	}
	return "/api/2.0/mlflow-artifacts/artifacts" + u.Path, nil
}

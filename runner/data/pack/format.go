// Package pack stores images of one size as plain bytes in memory-mapped files, ready for
// training: they are decoded, resized and cut once instead of in every epoch. FORMAT.md describes
// the files.
package pack

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ablate/runner/data/imaging"
)

// ErrMissing reports a folder without a pack, or with an unfinished one. ErrCorrupt reports a pack
// that differs from what was written.
var (
	ErrMissing = errors.New("no finished pack")
	ErrCorrupt = errors.New("the pack is damaged")
)

const (
	formatVersion = 1
	manifestName  = "pack.json"    // written last: a folder without it is not a pack
	planName      = "packing.json" // removed last
	skippedName   = "left-out.txt"
	meanName      = "train.mean"
	shardImages   = 1024 // source files per shard; a shard has fewer images if some were skipped
)

// A Manifest is pack.json: what a pack holds and how it was made.
type Manifest struct {
	Format  int              `json:"format"`
	Method  string           `json:"method"` // imaging.Method
	Fit     imaging.Fit      `json:"fit"`
	Classes []string         `json:"classes"`
	Splits  map[string]Split `json:"splits"` // train and test
	Colour  imaging.Colour   `json:"colour"` // the training images'
	Skipped []Skipped        `json:"left_out"`
	Mean    string           `json:"mean_sha256"`
	Source  string           `json:"source"` // SHA-256 of the list of source files and their labels
}

// A Split describes the files of one split.
type Split struct {
	Images int     `json:"images"`
	Shards []Shard `json:"shards"`
	// The SHA-256 of each file beside the shards.
	Index string `json:"index_sha256"`
	Names string `json:"names_sha256"`
}

// A Shard is one file of images.
type Shard struct {
	File   string `json:"file"`
	Images int    `json:"images"`
	SHA256 string `json:"sha256"`
}

// A Skipped is a source file that is not in the pack.
type Skipped struct {
	Split  string `json:"split"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func (l Skipped) String() string { return l.Name + ": " + l.Reason }

// splits are in the order in which they are packed.
var splits = []string{"train", "test"}

func shardName(split string, k int) string { return fmt.Sprintf("%s-%05d.shard", split, k) }
func indexName(split string) string        { return split + ".index" }
func namesName(split string) string        { return split + ".names" }

// An entry is an image's entry in the index: its label and the CRC-32C of its bytes.
type entry struct {
	Label int32
	CRC   uint32
}

const entryBytes = 8

func appendEntry(b []byte, e entry) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, uint32(e.Label)), e.CRC)
}

func entryAt(index []byte, i int) entry {
	b := index[i*entryBytes:][:entryBytes]
	return entry{int32(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:])}
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// writeFile writes a temporary file, syncs and renames it, so that a file is either complete or
// absent.
func writeFile(dir, name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(dir, name+".*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

func writeBytes(dir, name string, b []byte) error {
	return writeFile(dir, name, func(w io.Writer) error { _, err := w.Write(b); return err })
}

func writeJSON(dir, name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return writeBytes(dir, name, append(text, '\n'))
}

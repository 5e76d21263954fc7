//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// damageFile returns a random way to damage a file.
func (a *attacker) damageFile() (name string, damage func(path string) error) {
	replace := func(do func(path string) error) func(string) error {
		return func(path string) error { return errors.Join(os.Remove(path), do(path)) }
	}
	at, with := a.random.Float64(), byte(a.random.IntN(256))
	edit := func(change func(text []byte) []byte) func(string) error {
		return func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, change(text), 0o644)
		}
	}
	extreme := []string{"9223372036854775807", "-1", "1e308", "-1e308", "4611686018427387904", `"NaN"`, "null", "[]",
		`"\u001b[2J"`}[a.random.IntN(9)]
	switch a.random.IntN(12) {
	case 0:
		return "a FIFO", replace(func(path string) error { return syscall.Mkfifo(path, 0o600) })
	case 1:
		return "a terabyte", func(path string) error { return os.Truncate(path, 1<<40) }
	case 2:
		return "/dev/zero", replace(func(path string) error { return os.Symlink("/dev/zero", path) })
	case 3:
		return "a folder", replace(func(path string) error { return os.Mkdir(path, 0o755) })
	case 4:
		return "a loop", replace(func(path string) error { return os.Symlink(filepath.Base(path), path) })
	case 5:
		return "empty", func(path string) error { return os.Truncate(path, 0) }
	case 6:
		return "cut", edit(func(text []byte) []byte { return text[:int(at*float64(len(text)))] })
	case 7:
		return "twice", edit(func(text []byte) []byte { return append(text, text...) })
	case 8:
		return "a byte", edit(func(text []byte) []byte {
			if len(text) > 0 {
				text[int(at*float64(len(text)))] = with
			}
			return text
		})
	default: // binary files hold no figures: the file stays whole at worst
		return "the figure " + extreme, edit(func(text []byte) []byte {
			i := figure.FindAllIndex(text, 10_000)
			if len(i) == 0 {
				return text
			}
			k := i[int(at*float64(len(i)))]
			return append(append(append([]byte(nil), text[:k[0]]...), extreme...), text[k[1]:]...)
		})
	}
}

// filesOf returns the regular files under a folder.
func filesOf(root string) (names []string, err error) {
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			path, err = filepath.Rel(root, path)
			names = append(names, path)
		}
		return err
	})
	return names, err
}

// damagedRecords returns finished runs with one damaged file, and the commands that read them.
func (a *attacker) damagedRecords() ([]trial, error) {
	names, err := filesOf(filepath.Join(a.records, "runs"))
	if err != nil {
		return nil, err
	}
	any := []int{done, failed, refused, later}
	var all []trial
	for range 25 {
		for _, name := range names {
			how, damage := a.damageFile()
			args := [][]string{
				{"show", "s/rate/1"}, {"show", "s/baseline/1", "--json"}, {"report", "s"}, {"report", "s", "--format", "html"},
				{"runs"},
				{"runs", "--rebuild"}, {"runs", "gc"}, {"diff", "s/baseline/1", "s/rate/1"}, {"verify", "s"}, {"run", "s.yaml"},
				{"run", "s.yaml", "--fresh"},
			}[a.random.IntN(11)]
			all = append(all, trial{"records", name + " is " + how + ": " + strings.Join(args, " "), func(dir string) result {
				if err := errors.Join(os.CopyFS(dir+"/a", os.DirFS(a.records)),
					damage(filepath.Join(dir, "a", "runs", name))); err != nil {
					return result{skipped, err.Error()}
				}
				return a.must(filepath.Join(dir, "a"), any, args...)
			}})
		}
	}
	return all, nil
}

// dataFiles returns damaged and malicious image files.
func (a *attacker) dataFiles() []trial {
	var all []trial
	bombs := map[string][]byte{
		"50,000 × 50,000 pixels": hugePNG(50_000, 50_000), "2³¹−1 pixels": hugePNG(1<<31-1, 1<<31-1),
		"8,000 × 8,000 pixels": hugePNG(8000, 8000), "no image": []byte("GIF89a"), "nothing": nil,
	}
	for name, bomb := range bombs {
		for _, args := range [][]string{{"data", "check", "imagefolder", "tree"},
			{"data", "pack", "tree", "packed", "--size", "8"}} {
			all = append(all, trial{"data", name, func(dir string) result {
				err := writeTree(dir)
				for i := range 8 {
					err = errors.Join(err, os.WriteFile(filepath.Join(dir, "tree", "train", "c1", fmt.Sprint("bomb", i, ".png")), bomb,
						0o644))
				}
				if err != nil {
					return result{skipped, err.Error()}
				}
				return a.must(dir, []int{failed, refused}, args...)
			}})
		}
	}
	whole := map[string][]byte{
		"train-images-idx3-ubyte": idx([]byte{1, 2, 3, 4, 5, 6}, 3, 1, 2), "train-labels-idx1-ubyte": idx([]byte{7, 0, 9}, 3),
		"t10k-images-idx3-ubyte": idx([]byte{8, 9}, 1, 1, 2), "t10k-labels-idx1-ubyte": idx([]byte{4}, 1),
	}
	for name, k := range map[string]struct {
		file string
		text []byte
	}{
		"empty":        {"train-images-idx3-ubyte", nil},
		"longer":       {"train-images-idx3-ubyte", append(idx(nil, 3, 1, 2), make([]byte, 7)...)},
		"huge claim":   {"train-images-idx3-ubyte", idx(nil, 1<<31, 1<<31, 1<<31)},
		"large claim":  {"train-images-idx3-ubyte", idx([]byte{1}, 400<<10, 1<<10, 1)},
		"3 GiB":        {"train-images-idx3-ubyte", idx([]byte{1}, 3<<10, 1<<10, 1<<10)},
		"bomb":         {"train-images-idx3-ubyte.gz", zeros(idx(nil, 3, 1, 2))},
		"honest bomb":  {"train-images-idx3-ubyte.gz", zeros(idx(nil, 1<<10, 1<<10, 1<<10))},
		"label":        {"train-labels-idx1-ubyte", idx([]byte{1, 10, 2}, 3)},
		"fewer labels": {"train-labels-idx1-ubyte", idx([]byte{1}, 1)},
	} {
		all = append(all, trial{"data", "IDX: " + name, func(dir string) result {
			for name, text := range whole {
				if name+".gz" == k.file {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
					return result{skipped, err.Error()}
				}
			}
			if err := os.WriteFile(filepath.Join(dir, k.file), k.text, 0o644); err != nil {
				return result{skipped, err.Error()}
			}
			return a.must(dir, []int{failed, refused}, "data", "check", "mnist", ".")
		}})
	}
	for i := range 200 {
		how, damage := a.damageFile()
		which := a.random.Uint64()
		all = append(all, trial{"data", fmt.Sprintf("a file is %s (%d)", how, i), func(dir string) result {
			if err := writeTree(dir); err != nil {
				return result{skipped, err.Error()}
			}
			kind, root := "imagefolder", "tree"
			if i%2 == 0 {
				if r := a.must(dir, []int{done}, "data", "pack", "tree", "packed", "--size", "8"); r.verdict != harmless {
					return r
				}
				kind, root = "packed", "packed"
			}
			names, err := filesOf(filepath.Join(dir, root))
			if err == nil {
				err = damage(filepath.Join(dir, root, names[which%uint64(len(names))]))
			}
			if err != nil {
				return result{skipped, err.Error()}
			}
			return a.must(dir, []int{done, failed, refused}, "data", "check", kind, root)
		}})
	}
	return all
}

// writeTree writes a small folder of images, tree.
func writeTree(dir string) error {
	for _, split := range []string{"train", "val"} {
		for class := range 2 {
			folder := filepath.Join(dir, "tree", split, fmt.Sprint("c", class))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			for i := range 3 {
				img := image.NewRGBA(image.Rect(0, 0, 12, 9))
				for at := range 12 * 9 {
					img.Set(at%12, at/12, color.RGBA{uint8(at * 7), uint8(class * 100), uint8(i*40 + len(split)), 255})
				}
				var text bytes.Buffer
				if err := png.Encode(&text, img); err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(i, ".png")), text.Bytes(), 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// hugePNG returns a small file whose header claims any size.
func hugePNG(width, height uint32) []byte {
	chunk := func(kind string, body []byte) []byte {
		text := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		text = append(append(text, kind...), body...)
		return binary.BigEndian.AppendUint32(text, crc32.ChecksumIEEE(text[4:]))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	file := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(head, 8, 2, 0, 0, 0))...)
	return append(append(file, chunk("IDAT", []byte{0x78, 0x9c, 1, 0, 0, 0xff, 0xff})...), chunk("IEND", nil)...)
}

// idx returns a file in the format of MNIST.
func idx(values []byte, dims ...int) []byte {
	text := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		text = binary.BigEndian.AppendUint32(text, uint32(d))
	}
	return append(text, values...)
}

// zeros returns a small file that unzips to a head and a gigabyte of zeros.
func zeros(head []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	z.Write(head)
	megabyte := make([]byte, 1<<20) // written often: this program's memory counts towards that of its children
	for range 1 << 10 {
		z.Write(megabyte)
	}
	z.Close()
	return b.Bytes()
}

package data

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/data/files"
)

const idxLayout = "a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, " +
	"t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each also as .gz"

// idxFiles returns the four files of MNIST and its drop-in replacements, unpacked or as
// distributed. The MD5 sums are those that torchvision.datasets verifies.
func idxFiles(trainImages, trainLabels, testImages, testLabels string) []File {
	var files []File
	for _, f := range []File{
		{Name: "train-images-idx3-ubyte", Bytes: 16 + 60_000*28*28, MD5: trainImages},
		{Name: "train-labels-idx1-ubyte", Bytes: 8 + 60_000, MD5: trainLabels},
		{Name: "t10k-images-idx3-ubyte", Bytes: 16 + 10_000*28*28, MD5: testImages},
		{Name: "t10k-labels-idx1-ubyte", Bytes: 8 + 10_000, MD5: testLabels},
	} {
		files = append(files, File{Name: f.Name, Bytes: f.Bytes, Optional: true},
			File{Name: f.Name + ".gz", MD5: f.MD5, Optional: true})
	}
	return files
}

var mnistSource = Source{
	Name: "mnist", What: "70,000 handwritten digits, 28×28×1, 10 classes (60,000 for training)",
	Where: "MNIST, LeCun, Cortes and Burges; CC BY-SA 3.0", Layout: idxLayout,
	Classes: []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, open: openIDX, check: checkFiles,
	Files: idxFiles("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
		"9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
}

var fashionSource = Source{
	Name: "fashion-mnist", What: "70,000 pictures of clothes, 28×28×1, 10 classes (60,000 for training)",
	Where: "Fashion-MNIST, Zalando Research (Xiao, Rasul and Vollgraf 2017); MIT", Layout: idxLayout,
	Classes: []string{
		"t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
	},
	Files: idxFiles("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
		"bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
	open: openIDX, check: checkFiles,
}

var kmnistSource = Source{
	Name: "kmnist", What: "70,000 cursive Japanese characters, 28×28×1, 10 classes (60,000 for training)",
	Where:   "Kuzushiji-MNIST, ROIS-DS Center for Open Data in the Humanities (Clanuwat et al. 2018); CC BY-SA 4.0",
	Layout:  idxLayout,
	Classes: []string{"o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"}, open: openIDX, check: checkFiles,
	Files: idxFiles("bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
		"5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"),
}

func openIDX(_ context.Context, s Source, cfg recipe.Data, _ Progress) (*Dataset, error) {
	if _, err := stat(cfg.Root, s.Layout); err != nil {
		return nil, err
	}
	ds := new(Dataset)
	for _, part := range []struct {
		prefix string
		split  *Split
	}{{"train", &ds.Train}, {"t10k", &ds.Test}} {
		images, dims, err := readIDX(cfg.Root, part.prefix+"-images-idx3-ubyte", 3)
		if err != nil {
			return nil, err
		}
		labels, count, err := readIDX(cfg.Root, part.prefix+"-labels-idx1-ubyte", 1)
		if err != nil {
			return nil, err
		}
		if count[0] != dims[0] {
			return nil, fmt.Errorf("%s: %d images but %d labels: %w", part.prefix, dims[0], count[0], ErrCorrupt)
		}
		shape := arch.Shape{Height: dims[1], Width: dims[2], Channels: 1}
		if ds.Shape != (arch.Shape{}) && ds.Shape != shape {
			return nil, fmt.Errorf("training images are %v, test images %v: %w", ds.Shape, shape, ErrCorrupt)
		}
		ds.Shape = shape
		part.split.Images = images
		for i, l := range labels {
			if int(l) >= len(s.Classes) {
				return nil, fmt.Errorf("%s: image %d has label %d, the classes are 0 to %d: %w",
					part.prefix, i, l, len(s.Classes)-1, ErrCorrupt)
			}
			part.split.Labels = append(part.split.Labels, int32(l))
		}
	}
	return ds, nil
}

// readIDX reads name or name.gz from a folder.
func readIDX(root, name string, rank int) ([]byte, []int, error) {
	f, size, err := files.Open(filepath.Join(root, name))
	zipped := errors.Is(err, fs.ErrNotExist)
	if zipped {
		f, size, err = files.Open(filepath.Join(root, name+".gz"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("neither %s nor %s.gz is in %s; data.root must be %s%s: %w",
			name, name, root, idxLayout, seeList, ErrMissing)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
	defer f.Close()
	var r io.Reader = bufio.NewReader(f)
	if zipped {
		if r, err = gzip.NewReader(r); err != nil {
			return nil, nil, fmt.Errorf("%s.gz is not a gzip file (%v); fetch it again: %w", name, err, ErrCorrupt)
		}
		size *= mostDeflated
	}
	values, dims, err := parseIDX(r, size, rank)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return values, dims, nil
}

// maxIDX bounds, in bytes, what a header may claim: ten times MNIST.
const maxIDX = 512 << 20

// mostDeflated is the largest number of bytes that one byte of a gzip file can expand to.
const mostDeflated = 1032

// parseIDX reads the format's bytes: two zeros, the type (8: unsigned byte), the rank, big-endian
// sizes, values. It allocates memory for at most size bytes, whatever the header claims.
func parseIDX(r io.Reader, size int64, rank int) ([]byte, []int, error) {
	head := make([]byte, 4+4*rank)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, nil, fmt.Errorf("the header is cut short: %w", ErrCorrupt)
	}
	if head[0] != 0 || head[1] != 0 || head[2] != 8 || int(head[3]) != rank {
		return nil, nil, fmt.Errorf("header % x is not that of unsigned bytes in %d dimensions: %w",
			head[:4], rank, ErrCorrupt)
	}
	dims, total := make([]int, rank), int64(1)
	for i := range dims {
		d := int64(binary.BigEndian.Uint32(head[4+4*i:]))
		if d == 0 || total > maxIDX/d {
			return nil, nil, fmt.Errorf("the header claims sizes that are empty or too large: %w", ErrCorrupt)
		}
		dims[i] = int(d)
		total *= d
	}
	if total > size {
		return nil, nil, fmt.Errorf("the header claims %d values, the file can hold %d at most; fetch it again: %w",
			total, size, ErrCorrupt)
	}
	values := make([]byte, total)
	n, err := io.ReadFull(r, values)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, nil, fmt.Errorf("the header claims %d values, there are %d; fetch it again: %w",
			total, n, ErrCorrupt)
	case err != nil:
		return nil, nil, fmt.Errorf("it breaks off or is damaged (%v); fetch it again: %w", err, ErrCorrupt)
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return nil, nil, fmt.Errorf("the header claims %d values, there are more; fetch it again: %w",
			total, ErrCorrupt)
	}
	return values, dims, nil
}

package imagefiles

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"ablate/runner/data/imaging"
)

// write makes a tree of files.
func write(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// described returns a split as "name=label:content" lines.
func described(t testing.TB, files []File) []string {
	t.Helper()
	var out []string
	for _, f := range files {
		text, err := f.Read()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.Name+"="+string('0'+f.Label)+":"+string(text))
	}
	return out
}

func TestImageFolder(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"train/cat/b.JPEG": "1", "train/cat/a.png": "2", "train/cat/more/c.jpg": "3", "train/cat/.hidden.png": "x",
		"train/cat/notes.txt": "x",
		"train/dog/z.jpeg":    "4", "train/.cache/x.png": "x", "test/dog/t.PNG": "5",
	})
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"train/cat/a.png=0:2", "train/cat/b.JPEG=0:1", "train/cat/more/c.jpg=0:3",
		"train/dog/z.jpeg=1:4"}; !slices.Equal(described(t, s.Train), want) {
		t.Errorf("train %v", described(t, s.Train))
	}
	if want := []string{"test/dog/t.PNG=1:5"}; !slices.Equal(described(t, s.Test), want) {
		t.Errorf("test %v", described(t, s.Test))
	}
	if !slices.Equal(s.Classes, []string{"cat", "dog"}) || !slices.Equal(s.Ignored, []string{"train/cat/notes.txt"}) {
		t.Errorf("classes %v, ignored %v", s.Classes, s.Ignored)
	}
}

func TestLayoutsThatAreRefused(t *testing.T) {
	for name, k := range map[string]struct {
		files map[string]string
		says  string
	}{
		"nothing":    {nil, "train does not exist"},
		"no classes": {map[string]string{"train/a.png": "1", "val/a/a.png": "1"}, "holds no class folders"},
		"no val":     {map[string]string{"train/a/a.png": "1"}, "no folder val or test"},
		"flat val":   {map[string]string{"train/a/a.png": "1", "val/a.png": "1"}, "a flat folder needs its labels"},
		"class in val only": {map[string]string{"train/a/a.png": "1", "val/b/a.png": "1"},
			"class b is in val but not in train"},
		"empty class":    {map[string]string{"train/a/a.txt": "1", "val/a/a.png": "1"}, "class a has no images in train"},
		"tiny: no table": {map[string]string{"wnids.txt": "a\n", "train/a/images/a.png": "1"}, "val_annotations.txt"},
		"tiny: stray class": {map[string]string{"wnids.txt": "a\n", "train/a/images/a.png": "1",
			"val/val_annotations.txt": "v.png b\n"}, "val_annotations.txt:1: class b is not in wnids.txt"},
		"tiny: escape": {map[string]string{"wnids.txt": "a\n", "train/a/images/a.png": "1",
			"val/val_annotations.txt": "../../v.png a\n"}, "no file's name"},
		"tiny: half a row": {map[string]string{"wnids.txt": "a\n", "train/a/images/a.png": "1",
			"val/val_annotations.txt": "v.png\n"}, "val_annotations.txt:1"},
	} {
		root := t.TempDir()
		write(t, root, k.files)
		if _, err := Open(root); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), k.says) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want ErrLayout that says %q", name, err, k.says)
		}
	}
}

func TestTinyImageNet(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"wnids.txt": "n2\nn1\n", "train/n1/images/n1_0.JPEG": "1", "train/n2/images/n2_0.JPEG": "2",
		"train/n1/n1_boxes.txt": "0 0 1 1",
		"val/images/val_0.JPEG": "3", "val/images/val_1.JPEG": "4",
		"val/val_annotations.txt": "val_0.JPEG\tn2\t0\t0\t1\t1\r\nval_1.JPEG\tn1\t0\t0\t1\t1\r\n",
	})
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"train/n1/images/n1_0.JPEG=0:1", "train/n2/images/n2_0.JPEG=1:2"}; !slices.Equal(described(t,
		s.Train), want) || len(s.Ignored) != 0 {
		t.Errorf("train %v, ignored %v", described(t, s.Train), s.Ignored)
	}
	if want := []string{"val/images/val_0.JPEG=1:3", "val/images/val_1.JPEG=0:4"}; !slices.Equal(described(t, s.Test),
		want) {
		t.Errorf("test %v", described(t, s.Test))
	}
}

// A class may be a link. A circular link is a file that cannot be read, and a link to a parent
// folder is not followed.
func TestLinks(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	write(t, root, map[string]string{"train/a/a.png": "1", "val/a/a.png": "1"})
	write(t, elsewhere, map[string]string{"b.png": "2"})
	for name, to := range map[string]string{"train/b": elsewhere, "train/a/circle.png": "circle.png",
		"train/a/up.png": ".."} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Skip("no symbolic links here: ", err)
		}
	}
	s, err := ImageFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, f := range s.Train {
		_, err := f.Read()
		switch {
		case err == nil:
			good++
		case !errors.Is(err, ErrUnreadable):
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if len(s.Train) != 4 || good != 2 {
		t.Errorf("%d files, %d can be read: %v", len(s.Train), good, s.Train)
	}
	if err := os.Symlink("round", filepath.Join(root, "train", "round")); err != nil {
		t.Fatal(err)
	}
	if _, err := ImageFolder(root); err == nil || !strings.Contains(err.Error(), "round") {
		t.Errorf("a class that links to itself: %v", err)
	}
}

// tarOf packs pairs of name and content.
func tarOf(t testing.TB, pairs ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		h := &tar.Header{Name: pairs[i], Size: int64(len(pairs[i+1])), Mode: 0o644, Typeflag: tar.TypeReg}
		_, err := 0, w.WriteHeader(h)
		if err == nil {
			_, err = w.Write([]byte(pairs[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.String()
}

// ilsvrc returns the files of a challenge with three classes.
func ilsvrc(t testing.TB) map[string]string {
	return map[string]string{
		trainArchive: tarOf(t, "n3.tar", tarOf(t, "n3_1.JPEG", "five"), "n1.tar",
			tarOf(t, "n1_2.JPEG", "two", "../../n1_1.JPEG", "one"),
			"n2.tar", tarOf(t, "n2_1.JPEG", strings.Repeat("3", 700))),
		valArchive: tarOf(t, "ILSVRC2012_val_00000002.JPEG", "v2", "ILSVRC2012_val_00000001.JPEG", "v1"),
	}
}

func TestILSVRC(t *testing.T) {
	labels := map[string]map[string]string{
		"a list of synsets":    {synsetLabels: "n3\nn1\n"},
		"the devkit's numbers": {groundTruth: "1\n3\n", synsetOrder: "n3\nn2\nn1\n"},
		"the devkit as archive": {devkit: gzipped(t, tarOf(t, "ILSVRC2012_devkit_t12/data/"+groundTruth, "1\n3\n")),
			synsetOrder: "n3\nn2\nn1\n"},
	}
	for name, files := range labels {
		root := t.TempDir()
		write(t, root, ilsvrc(t))
		write(t, root, files)
		s, err := Open(root)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := []string{"train/n1/n1_1.JPEG=0:one", "train/n1/n1_2.JPEG=0:two", "train/n2/n2_1.JPEG=1:" +
			strings.Repeat("3", 700), "train/n3/n3_1.JPEG=2:five"}; !slices.Equal(described(t, s.Train), want) {
			t.Errorf("%s: train %v", name, described(t, s.Train))
		}
		if want := []string{"val/ILSVRC2012_val_00000001.JPEG=2:v1",
			"val/ILSVRC2012_val_00000002.JPEG=0:v2"}; !slices.Equal(described(t, s.Test), want) {
			t.Errorf("%s: test %v", name, described(t, s.Test))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestILSVRCRefuses(t *testing.T) {
	whole := ilsvrc(t)
	for name, k := range map[string]struct {
		files map[string]string
		says  string
	}{
		"no labels":      {nil, "no labels of the validation images"},
		"too few labels": {map[string]string{synsetLabels: "n3\n"}, "labels 1 images, ILSVRC2012_img_val.tar holds 2"},
		"stray class":    {map[string]string{synsetLabels: "n3\nn9\n"}, "line 2: class n9 is not in"},
		"numbers alone":  {map[string]string{groundTruth: "1\n3\n"}, "synsets.txt, which names them, is missing"},
		"number too large": {map[string]string{groundTruth: "1\n4\n", synsetOrder: "n3\nn2\nn1\n"},
			`line 2: "4" is no number from 1 to 3`},
		"alphabetical": {map[string]string{groundTruth: "1\n3\n", synsetOrder: "n1\nn2\nn3\n"}, "alphabetical order"},
		"no devkit":    {map[string]string{devkit: "<html>", synsetOrder: "n3\n"}, "not a tar.gz"},
		"val missing":  {map[string]string{valArchive: ""}, "holds no images"},
		"train cut":    {map[string]string{trainArchive: whole[trainArchive][:2000]}, "fetch it again"},
		"val cut":      {map[string]string{valArchive: whole[valArchive][:513]}, "breaks off"},
		"class twice": {map[string]string{trainArchive: tarOf(t, "n1.tar", tarOf(t, "a.png", "1"), "x/n1.tar",
			tarOf(t, "b.png", "1"))}, "class n1 is there twice"},
		"no class archives": {map[string]string{trainArchive: tarOf(t, "a.JPEG", "1")}, "no class archives"},
		"image twice":       {map[string]string{valArchive: tarOf(t, "a.JPEG", "1", "b/a.JPEG", "2")}, "is there twice"},
	} {
		root := t.TempDir()
		write(t, root, whole)
		write(t, root, k.files)
		if _, err := Open(root); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), k.says) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want ErrLayout that says %q", name, err, k.says)
		}
	}
}

// Whatever an archive holds, members lie within it and their names are not paths.
func FuzzArchive(f *testing.F) {
	f.Add([]byte(ilsvrc(f)[trainArchive]))
	f.Add([]byte(ilsvrc(f)[valArchive]))
	f.Add([]byte(tarOf(f, "../../../etc/x.tar", tarOf(f, "/abs/../y.JPEG", "1"), "..", "")))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, archive []byte) {
		r := bytes.NewReader(archive)
		train, classes, _, err := listTrain(r, int64(len(archive)))
		flat, flatErr := listFlat(r, int64(len(archive)))
		if err != nil {
			train = nil
		}
		if flatErr != nil {
			flat = nil
		}
		for _, file := range slices.Concat(train, flat) {
			if int(file.Label) > len(classes) || !filepath.IsLocal(filepath.FromSlash(file.Name)) {
				t.Errorf("%+v", file)
			}
			if p := file.place.(inArchive); p.at < 0 || p.size < 0 || p.at+p.size > int64(len(archive)) {
				t.Errorf("%s lies at %d+%d of %d bytes", file.Name, p.at, p.size, len(archive))
			}
			if _, err := file.Read(); err != nil {
				t.Errorf("%s: %v", file.Name, err)
			}
		}
	})
}

func FuzzDevkit(f *testing.F) {
	f.Add([]byte(tarOf(f, "data/"+groundTruth, "1\n3\n")))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := devkitNumbers(iotest.HalfReader(strings.NewReader(gzipped(t, string(text))))); err != nil &&
			!errors.Is(err, ErrLayout) {
			t.Error(err)
		}
	})
}

// Results come in order with any number of workers; an error of use and the context end the
// decoding.
func TestDecode(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	write(t, root, map[string]string{"good.png": b.String(), "bad.png": "x"})
	var files []File
	for i := range 100 {
		name := "good.png"
		if i%10 == 3 {
			name = "bad.png"
		}
		files = append(files, File{place: onDisk(filepath.Join(root, name))})
	}
	fit := imaging.Fit{Size: 2}
	for _, workers := range []int{1, 3, 16} {
		next := 0
		err := Decode(t.Context(), files, fit, workers, func(d Decoded) error {
			if d.Index != next || (d.Err != nil) != (next%10 == 3) || (d.Pixels == nil) != (d.Err != nil) {
				t.Errorf("%d workers: result %d is %+v", workers, next, d)
			}
			next++
			return nil
		})
		if err != nil || next != len(files) {
			t.Errorf("%d workers: %d results, %v", workers, next, err)
		}
		stop := errors.New("stop")
		if err := Decode(t.Context(), files, fit, workers, func(d Decoded) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%d workers: %v, want the error of use", workers, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := Decode(ctx, files, fit, workers, func(d Decoded) error { cancel(); return nil }); !errors.Is(err,
			context.Canceled) {
			t.Errorf("%d workers: %v, want the context's error", workers, err)
		}
	}
}

func TestMixKeepsEveryFile(t *testing.T) {
	var files []File
	for i := range 1000 {
		files = append(files, File{Label: int32(i)})
	}
	shuffled := Shuffle("train", files)
	if slices.EqualFunc(shuffled, files, func(a, b File) bool { return a.Label == b.Label }) {
		t.Error("nothing was shuffled")
	}
	slices.SortFunc(shuffled, func(a, b File) int { return int(a.Label - b.Label) })
	for i, f := range shuffled {
		if f.Label != int32(i) {
			t.Fatalf("file %d is missing", i)
		}
	}
}

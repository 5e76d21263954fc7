package imaging

import (
	"cmp"
	"encoding/json"
	"image"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pattern returns the picture that OpenCV and Pillow were given.
func pattern(w, h int) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Pix[y*w+x] = byte(x*x*3 + y*y*2 + x*y*5 + x*7)
		}
	}
	return img
}

// Our result differs by at most one level from OpenCV 5.0.0's INTER_AREA when an image shrinks,
// and from Pillow 13.0.0's BICUBIC when it grows. Along the border it differs by at most two:
// there Pillow leaves out the samples beyond the border, while we repeat the last one, as OpenCV
// does.
func TestResizeAgainstPeers(t *testing.T) {
	for name, k := range map[string]struct {
		img  *image.Gray
		want []byte
	}{
		"OpenCV, area, 50×37 to 8×8": {pattern(50, 37), []byte{
			80, 125, 131, 125, 122, 125, 129, 138, 128, 130, 119, 141, 129, 127, 136, 128, 120, 130, 130, 131, 125, 150, 115,
			123, 127, 118, 122, 128,
			131, 115, 126, 122, 132, 133, 134, 144, 122, 129, 138, 124, 128, 124, 133, 130, 134, 119, 128, 117, 129, 125, 131,
			116, 146, 125, 123, 104,
			118, 133, 107, 125, 135, 125, 121, 122}},
		"Pillow, cubic, 5×6 to 8×8": {pattern(5, 6), []byte{
			0, 3, 11, 19, 31, 45, 65, 77, 0, 5, 15, 26, 40, 55, 77, 90, 3, 10, 22, 36, 52, 70, 95, 110, 8, 16, 31, 47, 65, 87,
			114, 131, 15, 24, 43,
			61, 82, 106, 135, 153, 24, 35, 56, 77, 100, 126, 159, 178, 37, 51, 74, 98, 123, 151, 187, 208, 48, 63, 88, 114, 142,
			172, 209, 232}},
	} {
		got := read(t, Fit{Size: 8}, encodePNG(t, k.img))
		for i, want := range k.want {
			most := 1
			if x, y := i%8, i/8; x == 0 || y == 0 || x == 7 || y == 7 || x == 6 || y == 6 {
				most = 2
			}
			if d := int(got[3*i]) - int(want); d < -most || d > most {
				t.Errorf("%s: pixel %d is %d, want %d", name, i, got[3*i], want)
			}
		}
	}
}

// Ten ImageNet photographs, some of them grey, were decoded by Pillow 13.0.0 (libjpeg-turbo) and
// resized by OpenCV 5.0.0 (down) or Pillow (up) to a shorter side of 256. testdata/originals.json
// has the means of the centre's 4×4 blocks. Pixel by pixel the mean difference was at most 0.63
// levels and the largest 9 (with image/jpeg, from which jpegn differs by at most one level).
// libjpeg interpolates chroma before the image is resized; we resize it once.
func TestPhotographsAgainstPeers(t *testing.T) {
	data := os.Getenv("ABLATE_DATA")
	if data == "" {
		t.Skip("ABLATE_DATA is not set: the photographs are not read")
	}
	text, err := os.ReadFile("testdata/originals.json")
	if err != nil {
		t.Fatal(err)
	}
	var blocks map[string][]float64
	if err := json.Unmarshal(text, &blocks); err != nil || len(blocks) != 10 {
		t.Fatalf("%d photographs, %v", len(blocks), err)
	}
	for name, want := range blocks {
		file, err := os.ReadFile(filepath.Join(data, "imagenet-originals", name))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, len(want))
		for i, v := range read(t, Fit{ShortSide: 256}, file) {
			y, x, c := i/(256*3), i/3%256, i%3
			got[(y/64*4+x/64)*3+c] += float64(v) / (64 * 64)
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 0.5 {
				t.Errorf("%s: block mean %d is %.2f, want %.2f", name, i, got[i], want[i])
			}
		}
	}
}

// BenchmarkPhotographs measures the rate that limits packing: how fast one core decodes and
// resizes real photographs. ABLATE_PHOTOGRAPHS may name another folder of ABLATE_DATA.
// Run with: go test ./runner/data/imaging -run - -bench Photographs -cpu 1
func BenchmarkPhotographs(b *testing.B) {
	folder := cmp.Or(os.Getenv("ABLATE_PHOTOGRAPHS"), "imagenet-originals")
	var names []string
	err := filepath.WalkDir(filepath.Join(os.Getenv("ABLATE_DATA"), folder),
		func(name string, e fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(name, ".JPEG") {
				names = append(names, name)
			}
			return err
		})
	if err != nil || os.Getenv("ABLATE_DATA") == "" || len(names) == 0 {
		b.Skip("ABLATE_DATA is not set, or has no photographs")
	}
	var files [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, text)
	}
	fit := Fit{ShortSide: 256}
	r, dst := NewReader(fit), make([]byte, fit.Len())
	images := 0
	for b.Loop() {
		for _, f := range files {
			if err := r.Read(f, dst); err != nil {
				b.Fatal(err)
			}
			images++
		}
	}
	b.ReportMetric(float64(images)/b.Elapsed().Seconds(), "images/s")
}

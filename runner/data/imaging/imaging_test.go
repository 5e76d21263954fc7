package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t testing.TB, f Fit, file []byte) []byte {
	t.Helper()
	dst := make([]byte, f.Len())
	if err := NewReader(f).Read(file, dst); err != nil {
		t.Fatal(err)
	}
	return dst
}

// Every kind of PNG yields the colours of its pixels, without alpha, and the high byte of 16 bits.
func TestKinds(t *testing.T) {
	at := image.Rect(0, 0, 1, 1)
	nrgba, nrgba64 := image.NewNRGBA(at), image.NewNRGBA64(at)
	nrgba.SetNRGBA(0, 0, color.NRGBA{10, 20, 30, 7})
	nrgba64.SetNRGBA64(0, 0, color.NRGBA64{0x0aff, 0x14ff, 0x1eff, 0x1234})
	rgba, rgba64 := image.NewRGBA(at), image.NewRGBA64(at)
	rgba.SetRGBA(0, 0, color.RGBA{10, 20, 30, 255})
	rgba64.SetRGBA64(0, 0, color.RGBA64{0x0a01, 0x1401, 0x1e01, 0xffff})
	grey, grey16 := image.NewGray(at), image.NewGray16(at)
	grey.SetGray(0, 0, color.Gray{77})
	grey16.SetGray16(0, 0, color.Gray16{77<<8 | 200})
	palette := image.NewPaletted(at, color.Palette{color.NRGBA{1, 2, 3, 255}, color.NRGBA{10, 20, 30, 128}})
	palette.SetColorIndex(0, 0, 1)
	for name, k := range map[string]struct {
		img  image.Image
		want []byte
	}{
		"alpha": {nrgba, []byte{10, 20, 30}}, "alpha, 16 bits": {nrgba64, []byte{10, 20, 30}},
		"opaque": {rgba, []byte{10, 20, 30}}, "16 bits": {rgba64, []byte{10, 20, 30}},
		"grey": {grey, []byte{77, 77, 77}}, "grey, 16 bits": {grey16, []byte{77, 77, 77}},
		"palette": {palette, []byte{10, 20, 30}},
	} {
		if got := read(t, Fit{Size: 1}, encodePNG(t, k.img)); !slices.Equal(got, k.want) {
			t.Errorf("%s: %v, want %v", name, got, k.want)
		}
	}
	cmyk := image.NewCMYK(at)
	cmyk.SetCMYK(0, 0, color.CMYK{0, 128, 255, 51})
	if got := rgb(cmyk); !slices.Equal(got, []byte{204, 102, 0}) { // (255 - ink) × (255 - 51) / 255
		t.Errorf("CMYK: %v", got)
	}
}

// The conversion to RGB agrees with JFIF's formula in float64, over a grid of all values.
func TestToRGB(t *testing.T) {
	for y := 0; y < 256; y += 5 {
		for b := 0; b < 256; b += 5 {
			for r := 0; r < 256; r += 5 {
				got := make([]byte, 3)
				toRGB(got, []byte{byte(y)}, []byte{byte(b)}, []byte{byte(r)})
				fy, fb, fr := float64(y), float64(b-128), float64(r-128)
				for c, v := range []float64{fy + 1.402*fr, fy - 0.344136*fb - 0.714136*fr, fy + 1.772*fb} {
					if d := math.Abs(float64(got[c]) - min(255, max(0, v))); d > 0.505 {
						t.Fatalf("Y %d, Cb %d, Cr %d: channel %d is %d, want %v", y, b, r, c, got[c], v)
					}
				}
			}
		}
	}
}

// The scaler agrees with its definition in float64: integrals of the covered area if a side
// shrinks, Catmull-Rom's cubic if it grows.
func TestScale(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		size := image.Pt(1+random.IntN(90), 1+random.IntN(90))
		n := 1 + random.IntN(40)
		across := window{n + random.IntN(50), 0, n}
		across.from = random.IntN(across.total - n + 1)
		down := window{n + random.IntN(50), 0, n}
		down.from = random.IntN(down.total - n + 1)
		p := plane{pix: make([]byte, size.X*size.Y), stride: size.X, step: 1, size: size, coverX: 1, coverY: 1}
		for i := range p.pix {
			p.pix[i] = byte(random.Uint32())
		}
		got := make([]byte, n*n)
		new(scaler).scale(got, p, across, down)
		for y := range n {
			for x := range n {
				want := 0.0
				for sy, wy := range weights(size.Y, down.total, down.from+y) {
					for sx, wx := range weights(size.X, across.total, across.from+x) {
						want += wy * wx * float64(p.pix[sy*size.X+sx])
					}
				}
				if d := math.Abs(float64(got[y*n+x]) - min(255, max(0, want))); d > 0.6 {
					t.Fatalf("%v to %v and %v, (%d, %d): %d, want %v", size, across, down, x, y, got[y*n+x], want)
				}
			}
		}
	}
}

// weights returns the weight of each sample in output j.
func weights(size, total, j int) map[int]float64 {
	w := map[int]float64{}
	scale := float64(size) / float64(total)
	if scale >= 1 {
		lo, hi := float64(j)*scale, float64(j+1)*scale
		for i := range size {
			if share := (min(hi, float64(i+1)) - max(lo, float64(i))) / scale; share > 0 {
				w[i] = share
			}
		}
		return w
	}
	at := (float64(j)+0.5)*scale - 0.5
	for i := int(math.Floor(at)) - 1; i <= int(math.Floor(at))+2; i++ {
		d, v := math.Abs(at-float64(i)), 0.0
		switch {
		case d < 1:
			v = 1.5*d*d*d - 2.5*d*d + 1
		case d < 2:
			v = -0.5*d*d*d + 2.5*d*d - 4*d + 2
		}
		w[min(max(i, 0), size-1)] += v
	}
	return w
}

// A flat picture stays flat at every size; so does a flat JPEG's chroma at every subsampling.
func TestFlatStaysFlat(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {3, 500}, {500, 3}, {255, 257}, {1000, 700}} {
		for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422,
			image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411,
			image.YCbCrSubsampleRatio410} {
			img := image.NewYCbCr(image.Rectangle{Max: size}, ratio)
			for _, p := range []struct {
				pix []byte
				v   byte
			}{{img.Y, 200}, {img.Cb, 90}, {img.Cr, 140}} {
				for i := range p.pix {
					p.pix[i] = p.v
				}
			}
			f := Fit{ShortSide: 64}
			r, out, want := NewReader(f), make([]byte, f.Len()), make([]byte, 3)
			toRGB(want, []byte{200}, []byte{90}, []byte{140})
			across, down := f.windows(size, upright)
			r.resize(img, across, down, out)
			for i, v := range out {
				if v != want[i%3] {
					t.Fatalf("%v, %v: value %d is %d, want %d", size, ratio, i, v, want[i%3])
				}
			}
		}
	}
}

// The shorter side is resized to the given length, and the centre is cut out.
func TestShortSideCutsTheCentre(t *testing.T) {
	for _, size := range []image.Point{{40, 8}, {8, 40}} {
		img := image.NewGray(image.Rectangle{Max: size})
		for y := range size.Y {
			for x := range size.X {
				img.SetGray(x, y, color.Gray{byte(5 * max(x, y))})
			}
		}
		got := read(t, Fit{ShortSide: 8}, encodePNG(t, img))
		if first, last := got[0], got[len(got)-1]; size.X > size.Y && (first != 5*16 || last != 5*23) || size.Y > size.X &&
			(first != 5*16 || last != 5*23) {
			t.Errorf("%v: from %d to %d, want 80 to 115", size, first, last)
		}
	}
}

// withOrientation adds an EXIF segment after the JPEG's first marker.
func withOrientation(file []byte, order binary.AppendByteOrder, mark string, o uint16) []byte {
	tiff := []byte(mark)
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 1)
	tiff = order.AppendUint16(tiff, 0x0112)
	tiff = order.AppendUint16(tiff, 3)
	tiff = order.AppendUint32(tiff, 1)
	tiff = order.AppendUint16(tiff, o)
	tiff = order.AppendUint16(tiff, 0)
	body := append([]byte("Exif\x00\x00"), tiff...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2))
	return slices.Concat(file[:2], segment, body, file[2:])
}

// A picture that a camera stored in any of the eight ways is turned back to what the camera saw.
func TestOrientation(t *testing.T) {
	const w, h = 24, 15 // to short side 10, 24×15 becomes 16×10, an even cut; to 5, it becomes 8×5, an odd one
	seen := func(x, y int) color.Gray { return color.Gray{byte(10*x + 3*y*y/4)} }
	// stored[o] returns where the file's (column, row) was in the scene (EXIF: "the 0th row is at the
	// visual …").
	stored := []func(c, r int) (x, y int){
		func(c, r int) (int, int) { return c, r },
		func(c, r int) (int, int) { return w - 1 - c, r },
		func(c, r int) (int, int) { return w - 1 - c, h - 1 - r },
		func(c, r int) (int, int) { return c, h - 1 - r },
		func(c, r int) (int, int) { return r, c },
		func(c, r int) (int, int) { return w - 1 - r, c },
		func(c, r int) (int, int) { return w - 1 - r, h - 1 - c },
		func(c, r int) (int, int) { return r, h - 1 - c },
	}
	for _, f := range []Fit{{ShortSide: 10}, {ShortSide: 5}, {Size: 9}} {
		var want []byte
		for o, where := range stored {
			size := image.Pt(w, h)
			if o >= 4 {
				size = image.Pt(h, w)
			}
			img := image.NewGray(image.Rectangle{Max: size})
			for r := range size.Y {
				for c := range size.X {
					img.SetGray(c, r, seen(where(c, r)))
				}
			}
			order, mark := binary.AppendByteOrder(binary.LittleEndian), "II*\x00"
			if o%2 == 1 {
				order, mark = binary.BigEndian, "MM\x00*"
			}
			got := read(t, f, withOrientation(encodeJPEG(t, img), order, mark, uint16(o+1)))
			if want == nil {
				want = got
			}
			for i := range got { // the JPEGs differ a little, since their blocks lie differently
				if d := int(got[i]) - int(want[i]); d < -3 || d > 3 {
					t.Fatalf("%v, orientation %d: value %d is %d, want %d", f, o+1, i, got[i], want[i])
				}
			}
		}
	}
}

// hugePNG returns a PNG with a valid header for w × h pixels, and nothing after it.
func hugePNG(w, h uint32) []byte {
	chunk := append([]byte("IHDR"), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)...)
	chunk = append(chunk, 8, 2, 0, 0, 0)
	file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(chunk))
}

func TestBadFiles(t *testing.T) {
	whole := encodeJPEG(t, image.NewGray(image.Rect(0, 0, 64, 64)))
	for name, k := range map[string]struct {
		file []byte
		says string
	}{
		"empty":        {nil, "the file is empty"},
		"no image":     {[]byte("<html>404</html>"), "neither JPEG nor PNG"},
		"truncated":    {whole[:len(whole)/2], "damaged"},
		"cut in scan":  {whole[:len(whole)-8], "truncated or damaged"},
		"huge":         {hugePNG(50_000, 50_000), "50000×50000 pixels; 1 to 67108864 are read"},
		"header alone": {hugePNG(10, 10), "truncated or damaged"},
	} {
		err := NewReader(Fit{Size: 4}).Read(k.file, make([]byte, 48))
		if !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), k.says) {
			t.Errorf("%s: %v, want ErrBad that says %q", name, err, k.says)
		}
	}
}

// The test files are four flat quarters, written by Pillow 13.0.0: baseline and progressive with
// chroma at half size, with restarts, as RGB, and as CMYK with Adobe's inverted inks (ImageNet has
// some). Each is refused wherever it is cut off.
func TestJPEGs(t *testing.T) {
	want := [][3]int{{200, 40, 40}, {40, 160, 60}, {30, 60, 190}, {220, 210, 60}}
	for _, name := range []string{"baseline", "progressive", "restarts", "rgb", "cmyk"} {
		file, err := os.ReadFile(filepath.Join("testdata", name+".jpg"))
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, Fit{Size: 32}, file)
		for i, rgb := range want {
			at := 3 * ((4+24*(i/2))*32 + 4 + 24*(i%2))
			for c, w := range rgb {
				if d := int(got[at+c]) - w; d < -3 || d > 3 {
					t.Errorf("%s: quarter %d is %v, want %v", name, i, got[at:at+3], rgb)
				}
			}
		}
		for n := range file {
			if err := NewReader(Fit{Size: 32}).Read(file[:n], make([]byte, 32*32*3)); !errors.Is(err, ErrBad) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(file), err)
			}
		}
		if err := NewReader(Fit{Size: 32}).Read(append(file, "and a trailer"...), got); err != nil {
			t.Errorf("%s with bytes behind its end: %v", name, err)
		}
	}
}

func TestFitValidate(t *testing.T) {
	for f, ok := range map[Fit]bool{{}: false, {256, 0}: true, {0, 32}: true, {256, 256}: false, {-1, 0}: false,
		{0, 5000}: false} {
		if err := f.Validate(); (err == nil) != ok {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// Whatever the file holds, it is either read or refused.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(names) == 0 {
		f.Fatal(err)
	}
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	img := image.NewNRGBA(image.Rect(0, 0, 9, 5))
	f.Add(encodePNG(f, img))
	f.Add(encodeJPEG(f, img))
	f.Add(withOrientation(encodeJPEG(f, img), binary.BigEndian, "MM\x00*", 6))
	f.Add(hugePNG(50_000, 50_000))
	f.Add([]byte{0xff, 0xd8, 0xff})
	fit := Fit{ShortSide: 8}
	dst := make([]byte, fit.Len())
	f.Fuzz(func(t *testing.T, file []byte) {
		if c, _, err := image.DecodeConfig(bytes.NewReader(file)); err == nil && c.Width*c.Height > 1<<20 {
			t.Skip("large ones are slow")
		}
		if err := NewReader(fit).Read(file, dst); err != nil && !errors.Is(err, ErrBad) {
			t.Error(err)
		}
	})
}

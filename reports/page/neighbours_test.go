package page

import (
	"io/fs"
	"math"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/reports"
)

// Each row is an image with its nearest neighbours in order. Features that are no numbers come last.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	f := experiments.Features{Width: 1, Classes: []string{"<disc>", "ring"}, Values: []float32{0, 5, 1, 3, 9, 8, 2,
		float32(math.NaN())}, Index: []int{0, 10, 20, 30, 40, 50, 60, 70}, Label: []int{0, 1, 0, 0, 1, 1, 0, 0},
		Predicted: make([]int, 8)}
	thumbnails := make([]experiments.Thumbnail, 8)
	for i := range thumbnails {
		thumbnails[i] = experiments.Thumbnail{RGB: []byte{byte(i), 0, 0}, Width: 1, Height: 1}
	}
	if err := f.Picture(thumbnails); err != nil {
		t.Fatal(err)
	}
	c := &reports.Comparison{Rows: []reports.Row{{Variant: "baseline"}, {Variant: "without"}}}
	pictures := NewPictures(c, Source{
		Records: []experiments.Record{{Variant: "baseline", Seed: 1}, {Variant: "baseline", Seed: 2}, {Variant: "without"}},
		Features: func(r experiments.Record) (experiments.Features, error) {
			if r.Seed == 2 {
				return f, nil
			}
			return experiments.Features{}, fs.ErrNotExist
		},
	})
	all := pictures.Neighbours()
	if len(all) != 1 || all[0].Seed != 2 || all[0].Among != "8" || all[0].Side != 64 || len(all[0].Rows) != 2 {
		t.Fatalf("%+v, problems %v", all, pictures.Problems())
	}
	var words []string
	for _, row := range all[0].Rows {
		words = append(words, row.Image.Words)
		for _, n := range row.Nearest {
			words = append(words, n.Words)
		}
	}
	want := "<disc>, test image 0|<disc>, test image 20, at distance 1|<disc>, test image 60, at distance 2|" +
		"<disc>, test image 30, at distance 3|ring, test image 10, at distance 5|ring, test image 50, at distance 8|" +
		"ring, test image 40, at distance 9|" +
		"ring, test image 10|<disc>, test image 30, at distance 2|ring, test image 50, at distance 3|" +
		"<disc>, test image 60, at distance 3|<disc>, test image 20, at distance 4|ring, test image 40, at distance 4|" +
		"<disc>, test image 0, at distance 5"
	if got := strings.Join(words, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := all[0].Rows[1].Nearest; !n[0].Other || n[1].Other {
		t.Error("the frames of images of another class are wrong")
	}
	var b strings.Builder
	if err := layout.ExecuteTemplate(&b, "neighbours", content{Neighbours: all}); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.Contains(text, "<disc>") || strings.Count(text, "data:image/png;base64,") != 14 {
		t.Errorf("the section is %s", text)
	}
	f.Pictures = nil
	if pictures.Neighbours(); len(pictures.Problems()) != 1 {
		t.Errorf("pictures that are missing: %v", pictures.Problems())
	}
}

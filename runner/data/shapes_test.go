package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"ablate/recipe"
)

// The pictures have the same bytes everywhere and always. A change to how they are drawn changes
// what every study on them measured, and needs a new digest here.
func TestShapesStayTheSame(t *testing.T) {
	ds, err := Open(t.Context(), recipe.Data{Name: "shapes", Train: 40, Test: 20})
	if err != nil {
		t.Fatal(err)
	}
	const want = "ee1cc8bf1a1877594eb561239a7597645dc7cf456b03ec5a623f3a46e7928ea7"
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(ds.Digests["train"]+ds.Digests["test"]))); got != want {
		t.Errorf("the drawn images have digest %s, they had %s", got, want)
	}
}

func TestShapesDoNotDependOnWorkersOrCount(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := drawShapes(t.Context(), "shapes/train", 33)
	runtime.GOMAXPROCS(4)
	four := drawShapes(t.Context(), "shapes/train", 50)
	if !bytes.Equal(one.Images, four.Images[:len(one.Images)]) || !slices.Equal(one.Labels, four.Labels[:33]) {
		t.Error("the first 33 images differ between one worker and four, or between 33 and 50 drawn")
	}
}

func TestShapesAreBalancedAndNeverRepeat(t *testing.T) {
	ds, err := Open(t.Context(), recipe.Data{Name: "shapes", Train: 200, Test: 100})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range []Split{ds.Train, ds.Test} {
		counts := make([]int, len(ds.Classes))
		for i, l := range s.Labels {
			counts[l]++
			image := string(s.Images[i*ds.Shape.Len() : (i+1)*ds.Shape.Len()])
			if seen[image] {
				t.Errorf("image %d is drawn twice", i)
			}
			seen[image] = true
		}
		if slices.Min(counts) != slices.Max(counts) {
			t.Errorf("classes have %v images", counts)
		}
	}
}

// A figure covers a fair part of the disc that it is drawn in, stays within the reach that the
// painter assumes, and differs from the figure of any other class.
func TestFigures(t *testing.T) {
	const n = 200 // samples per side over [-2, 2]
	var masks [len(figures)][n * n]bool
	for class, inside := range figures {
		covered := 0
		for i := range n * n {
			x, y := 4*(float64(i%n)+0.5)/n-2, 4*(float64(i/n)+0.5)/n-2
			if masks[class][i] = inside(x, y); masks[class][i] {
				covered++
				if x*x+y*y > 1.5*1.5 {
					t.Errorf("figure %d reaches (%v, %v)", class, x, y)
				}
			}
		}
		if share := float64(covered) * 16 / (n * n); share < 0.4 || share > 3.2 { // the unit disc has 3.14
			t.Errorf("figure %d covers %v", class, share)
		}
		for other := range class {
			differ := 0
			for i := range masks[class] {
				if masks[class][i] != masks[other][i] {
					differ++
				}
			}
			if differ < covered/20 {
				t.Errorf("figures %d and %d differ in %d of %d samples", class, other, differ, covered)
			}
		}
	}
}

// Drawing stops when the context ends: Ctrl-C used to have no effect for a minute.
func TestDrawingStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, recipe.Data{Name: "shapes", Train: maxShapes}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

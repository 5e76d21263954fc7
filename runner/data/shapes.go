package data

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/random"
)

// shapesSource is a data set that is drawn in code, so that a study can run without a download.
var shapesSource = Source{
	Name: "shapes",
	What: "drawn figures of varied position, size, turn, colour, background and noise, 32×32×3, 10 classes; " +
		"data.train and data.test say how many (10,000 and 2,000)",
	Where:   "drawn by ablate itself",
	Layout:  "nothing: data.root is not used",
	Classes: []string{"disc", "square", "triangle", "ring", "cross", "star", "bar", "crescent", "hexagon", "ellipse"},
	open:    openShapes,
}

// These constants set how hard the data set is.
const (
	shapesSide     = 32
	shapesSeed     = 2012  // the images are the same in every study, whatever its seeds
	noiseStd       = 6.0   // grey levels
	leastContrast  = 110.0 // between figure and background, in grey levels over the three colours
	smallestRadius = 10.0  // pixels
	largestRadius  = 12.0
	stretch        = 0.1     // sides may differ by this share
	offCentre      = 2.0     // pixels either way
	mostTurn       = 0.2     // radians either way
	distractors    = 1       // spots of other colours, at most
	maxShapes      = 200_000 // of 3 KB each
)

func openShapes(ctx context.Context, _ Source, cfg recipe.Data, _ Progress) (*Dataset, error) {
	cfg.Train, cfg.Test = cmp.Or(cfg.Train, 10_000), cmp.Or(cfg.Test, 2_000)
	if max(cfg.Train, cfg.Test) > maxShapes {
		return nil, fmt.Errorf("data.train and data.test: at most %d images are drawn", maxShapes)
	}
	ds := &Dataset{
		Shape: arch.Shape{Height: shapesSide, Width: shapesSide, Channels: 3},
		Train: drawShapes(ctx, "shapes/train", cfg.Train),
		Test:  drawShapes(ctx, "shapes/test", cfg.Test),
	}
	return ds, ctx.Err()
}

// drawShapes draws image i from step i of a stream, so the work can be divided in any way.
// It stops when the context ends.
func drawShapes(ctx context.Context, stream string, n int) Split {
	s := Split{Images: make([]byte, n*shapesSide*shapesSide*3), Labels: make([]int32, n)}
	r := random.New(shapesSeed, stream)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && ctx.Err() == nil; i += workers {
				s.Labels[i] = int32(i % len(figures))
				p := painter{r: r, step: uint64(i)}
				p.paint(int(s.Labels[i]), s.Images[i*shapesSide*shapesSide*3:][:shapesSide*shapesSide*3])
			}
		})
	}
	wg.Wait()
	return s
}

// A painter draws one image; it takes its random numbers in the order of the statements.
type painter struct {
	r    random.Stream
	step uint64
	next uint64
}

// between returns a uniform random number in [lo, hi).
func (p *painter) between(lo, hi float64) float64 {
	p.next++
	return lo + (hi-lo)*p.r.Float64(p.step, p.next)
}

type colour [3]float64

func (p *painter) colour() colour {
	return colour{p.between(20, 235), p.between(20, 235), p.between(20, 235)}
}

func (c colour) distance(d colour) float64 {
	return math.Sqrt((c[0]-d[0])*(c[0]-d[0]) + (c[1]-d[1])*(c[1]-d[1]) + (c[2]-d[2])*(c[2]-d[2]))
}

func (p *painter) paint(class int, out []byte) {
	// The background runs from one colour to another, with a wave over it.
	back, back2 := p.colour(), p.colour()
	figure := p.colour()
	for figure.distance(back) < leastContrast || figure.distance(back2) < leastContrast {
		figure = p.colour()
	}
	slope, wave := p.between(0, 2*math.Pi), p.between(0.3, 1.6)
	phase, strength := p.between(0, 2*math.Pi), p.between(0, 25)
	radius := p.between(smallestRadius, largestRadius)
	cx, cy := shapesSide/2+p.between(-offCentre, offCentre), shapesSide/2+p.between(-offCentre, offCentre)
	turn := p.between(-mostTurn, mostTurn)
	sx, sy := radius*(1+p.between(-stretch, stretch)), radius*(1+p.between(-stretch, stretch))
	type spot struct {
		x, y, r float64
		c       colour
	}
	spots := make([]spot, int(p.between(0, distractors+1)))
	for i := range spots {
		spots[i] = spot{x: p.between(0, shapesSide), y: p.between(0, shapesSide), r: p.between(1, 4), c: p.colour()}
	}
	sin, cos := math.Sincos(turn)
	slopeSin, slopeCos := math.Sincos(slope)
	reach := 1.5 * max(sx, sy) // no figure extends further from its centre
	inside := func(x, y float64) bool {
		x, y = x-cx, y-cy
		if math.Abs(x) > reach || math.Abs(y) > reach {
			return false
		}
		return figures[class]((x*cos+y*sin)/sx, (y*cos-x*sin)/sy)
	}
	noise := make([]float32, len(out))
	p.r.Normal(noise, p.step+1<<40, 0, noiseStd)
	for y := range shapesSide {
		for x := range shapesSide {
			along := (float64(x)*slopeCos+float64(y)*slopeSin)/(2*shapesSide) + 0.5
			ripple := strength * math.Sin(wave*(float64(x)*slopeSin-float64(y)*slopeCos)+phase)
			cover := 0.0 // anti-aliased: 2×2 samples per pixel
			for _, d := range [4][2]float64{{0.25, 0.25}, {0.75, 0.25}, {0.25, 0.75}, {0.75, 0.75}} {
				if inside(float64(x)+d[0], float64(y)+d[1]) {
					cover += 0.25
				}
			}
			at := (y*shapesSide + x) * 3
			for c := range 3 {
				v := back[c]*(1-along) + back2[c]*along + ripple
				for _, s := range spots {
					if (float64(x)-s.x)*(float64(x)-s.x)+(float64(y)-s.y)*(float64(y)-s.y) < s.r*s.r {
						v = s.c[c]
					}
				}
				v = v*(1-cover) + figure[c]*cover + float64(noise[at+c])
				out[at+c] = byte(math.Max(0, math.Min(255, math.Round(v))))
			}
		}
	}
}

// figures report whether a point lies in a class's figure, which roughly fills the unit disc.
var figures = [...]func(x, y float64) bool{
	func(x, y float64) bool { return x*x+y*y < 0.8 },
	func(x, y float64) bool { return math.Max(math.Abs(x), math.Abs(y)) < 0.8 },
	func(x, y float64) bool { return y > -0.55 && 1.75*math.Abs(x)+y < 1.05 },
	func(x, y float64) bool { return x*x+y*y < 0.9 && x*x+y*y > 0.35 },
	func(x, y float64) bool {
		a, b := math.Abs(x), math.Abs(y)
		return math.Max(a, b) < 0.95 && math.Min(a, b) < 0.3
	},
	func(x, y float64) bool { return math.Hypot(x, y) < 0.65+0.35*math.Cos(5*math.Atan2(y, x)) },
	func(x, y float64) bool { return math.Abs(x) < 1 && math.Abs(y) < 0.38 },
	func(x, y float64) bool { return x*x+y*y < 0.95 && (x-0.5)*(x-0.5)+y*y > 0.6 },
	func(x, y float64) bool { return math.Max(math.Abs(y), 0.866*math.Abs(x)+0.5*math.Abs(y)) < 0.8 },
	func(x, y float64) bool { return x*x+y*y/0.3 < 0.95 },
}

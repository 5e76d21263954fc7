package data

import (
	"testing"

	"ablate/recipe"
	"ablate/runner/data/imaging"
)

// BenchmarkPackedBatches measures what a training run on a pack does with its images, on all cores
// and without the net: from 256×256 bytes to batches of 224×224 floats, with mean image, crop and
// flip, and with or without the paper's colour noise. An epoch is so long that its beginning does
// not count.
// Run with: go test ./runner/data -run - -bench PackedBatches
func BenchmarkPackedBatches(b *testing.B) {
	b.Run("plain", func(b *testing.B) { packedBatches(b, 0) })
	b.Run("colours", func(b *testing.B) { packedBatches(b, 0.1) })
}

func packedBatches(b *testing.B, colours float64) {
	const batch = 32
	cfg := recipe.Data{Name: "packed", Mean: "image", Scale: 1, Crop: 224, CropAt: recipe.CropRandom, Flip: true,
		PCAColour: recipe.PCAColour{Std: colours}}
	cfg.Root = packTree(b, imageTree(b, 320), imaging.Fit{Size: 256}, 0)
	ds := open(b, cfg)
	p, err := NewPipeline(b.Context(), ds, cfg, batch, 1)
	if err != nil {
		b.Fatal(err)
	}
	images := 0
	b.SetBytes(batch * (256*256*3 + 4*224*224*3))
	r := p.Train(b.Context(), 0, 0)
	for epoch := 0; b.Loop(); images += batch {
		if _, err := r.Next(); err != nil { // the end of the epoch
			r.Close()
			epoch++
			r = p.Train(b.Context(), epoch, 0)
			if _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
		}
	}
	r.Close()
	b.ReportMetric(float64(images)/b.Elapsed().Seconds(), "images/s")
}

package data

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/data/pack"
)

var packedSource = Source{
	Name: "packed",
	What: "images that ablate data pack has decoded, resized and stored; they stay on disk and are mapped " +
		"into memory",
	Where:  "made by ablate data pack SRC DST from any of the sources of image files; their terms hold",
	Layout: "the folder DST, with pack.json in it",
	open:   openPacked,
	check:  checkPacked,
}

func openPacked(_ context.Context, s Source, cfg recipe.Data, _ Progress) (*Dataset, error) {
	p, err := openPack(cfg.Root, s.Layout)
	if err != nil {
		return nil, err
	}
	if cfg.ShortSide+cfg.Size > 0 {
		p.Close()
		return nil, fmt.Errorf("data.short_side and data.size say how files are resized; this pack is already (%v)",
			p.Fit)
	}
	fit := p.Fit
	mean, err := p.Mean()
	if err != nil {
		p.Close()
		return nil, sentinel(err)
	}
	return &Dataset{
		Classes: p.Classes, Shape: arch.Shape{Height: p.Fit.Side(), Width: p.Fit.Side(), Channels: 3},
		Train:   Split{Labels: p.Train.Labels, stored: &packedImages{pack: p, split: "train", images: &p.Train}},
		Test:    Split{Labels: p.Test.Labels, stored: &packedImages{pack: p, split: "test", images: &p.Test}},
		Skipped: p.Skipped, Fit: &fit, Mean: mean, Colour: &p.Colour, closer: p,
	}, nil
}

func openPack(root, layout string) (*pack.Pack, error) {
	if _, err := stat(root, layout); err != nil {
		return nil, err
	}
	p, err := pack.Open(root)
	return p, sentinel(err)
}

// sentinel converts a pack's error to the errors of this package.
func sentinel(err error) error {
	switch {
	case errors.Is(err, pack.ErrMissing):
		return fmt.Errorf("%w: %w", ErrMissing, err)
	case errors.Is(err, pack.ErrCorrupt):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

func checkPacked(ctx context.Context, s Source, root string) error {
	p, err := openPack(root, s.Layout)
	if err != nil {
		return err
	}
	defer p.Close()
	return sentinel(p.Verify(ctx))
}

// A packedImages is a split of a pack.
type packedImages struct {
	pack   *pack.Pack
	split  string
	images *pack.Images
	names  []string // read when a name is first asked for
}

func (p *packedImages) name(i int) string {
	if p.names == nil {
		names, err := p.pack.Names(p.split)
		if err != nil { // the name is for people, who can also find the image by its number
			return fmt.Sprintf("image %d", i)
		}
		p.names = names
	}
	return p.names[i]
}

func (p *packedImages) image(i int, _ []byte) ([]byte, error) {
	image, err := p.images.At(i)
	return image, sentinel(err)
}

func (p *packedImages) digest(n int) string {
	whole := p.pack.Digest(p.split)
	if n == len(p.images.Labels) {
		return whole
	}
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "the first %d of %s", n, whole)))
}

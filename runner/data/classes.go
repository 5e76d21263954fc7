package data

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ablate/runner/data/imagefiles"
	"ablate/strictyaml"
)

// numbers returns, for each class of a data set, its place among the classes that a recipe asks
// for, or -1 if the recipe does not ask for it.
func numbers(all, wanted []string) ([]int32, error) {
	to := make([]int32, len(all))
	for i := range to {
		to[i] = -1
	}
	for n, name := range wanted {
		i := slices.Index(all, name)
		switch {
		case i < 0:
			if near, ok := strictyaml.Nearest(name, all); ok {
				return nil, fmt.Errorf("data.classes: no class is called %s; did you mean %s?",
					strictyaml.Quote(name), near)
			}
			return nil, fmt.Errorf("data.classes: no class is called %s; the classes are %s",
				strictyaml.Quote(name), some(all))
		case to[i] >= 0:
			return nil, fmt.Errorf("data.classes names %s twice", name)
		}
		to[i] = int32(n)
	}
	return to, nil
}

// some lists the first few of many names.
func some(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// chosenFiles returns the files of the classes that a recipe asks for, with their new labels.
func chosenFiles(all []imagefiles.File, to []int32) []imagefiles.File {
	var chosen []imagefiles.File
	for _, f := range all {
		if f.Label = to[f.Label]; f.Label >= 0 {
			chosen = append(chosen, f)
		}
	}
	return chosen
}

// choose keeps the images of the classes that a recipe asks for.
func (ds *Dataset) choose(classes []string) error {
	if len(classes) == 0 || slices.Equal(classes, ds.Classes) {
		return nil
	}
	to, err := numbers(ds.Classes, classes)
	if err != nil {
		return err
	}
	for _, s := range []*Split{&ds.Train, &ds.Test} {
		*s = s.choose(to, ds.Shape.Len())
	}
	ds.Classes = classes
	ds.Mean, ds.Colour = nil, nil // they described all images
	return nil
}

// choose keeps the images whose class has a new number.
func (s Split) choose(to []int32, size int) Split {
	var chosen Split
	var places []int
	for i, label := range s.Labels {
		if to[label] < 0 {
			continue
		}
		chosen.Labels = append(chosen.Labels, to[label])
		if s.stored != nil {
			places = append(places, i)
		} else {
			chosen.Images = append(chosen.Images, s.Images[i*size:][:size]...)
		}
	}
	if s.stored != nil {
		whole := s.stored.digest(s.Len())
		chosen.stored = &subset{stored: s.stored, whole: whole, places: places, labels: chosen.Labels}
	}
	return chosen
}

// A subset holds some of the images of another split.
type subset struct {
	stored
	whole  string // digest of the other split
	places []int
	labels []int32
}

func (s *subset) image(i int, buf []byte) ([]byte, error) { return s.stored.image(s.places[i], buf) }

func (s *subset) name(i int) string { return s.stored.name(s.places[i]) }

func (s *subset) digest(n int) string {
	h := sha256.New()
	fmt.Fprintln(h, s.whole)
	for i, place := range s.places[:n] {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(place)))
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(s.labels[i])))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

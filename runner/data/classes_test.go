package data

import (
	"slices"
	"strings"
	"testing"

	"ablate/recipe"
	"ablate/runner/data/imaging"
)

// Classes are chosen and numbered as the recipe lists them. The images are the same whether they
// are read from files, from a pack of the files or from memory.
func TestClasses(t *testing.T) {
	t.Parallel()
	root := imageTree(t, 5)
	cfg := recipe.Data{Mean: "image", Scale: 1, Classes: []string{"c2", "c0"}}
	files, packed := cfg, cfg
	files.Name, files.Root, files.Size = "imagefolder", root, 8
	packed.Name, packed.Root = "packed", packTree(t, root, imaging.Fit{Size: 8}, 0)
	fromFiles, fromPack := open(t, files), open(t, packed)
	for _, ds := range []*Dataset{fromFiles, fromPack} {
		if !slices.Equal(ds.Classes, cfg.Classes) || ds.Train.Len() != 10 || ds.Test.Len() != 4 {
			t.Fatalf("%s: classes %v, %d and %d images", ds.Name, ds.Classes, ds.Train.Len(), ds.Test.Len())
		}
		for i, label := range ds.Train.Labels {
			if name := ds.Train.Name(i); !strings.HasPrefix(name, "train/"+cfg.Classes[label]+"/") {
				t.Errorf("%s: %s has label %d", ds.Name, name, label)
			}
		}
	}
	size := fromPack.Shape.Len()
	memory := &Dataset{Shape: fromPack.Shape, Classes: []string{"c0", "c1", "c2"}}
	whole := packed
	whole.Classes = nil
	all := open(t, whole)
	memory.Train, memory.Test = copied(t, all.Train, size), copied(t, all.Test, size)
	if err := memory.choose(cfg.Classes); err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][3]Split{
		"train": {fromFiles.Train, fromPack.Train, memory.Train}, "test": {fromFiles.Test, fromPack.Test, memory.Test},
	} {
		want := copied(t, pair[0], size)
		for _, s := range pair[1:] {
			if got := copied(t, s, size); !slices.Equal(got.Labels, want.Labels) || !slices.Equal(got.Images, want.Images) {
				t.Errorf("%s: other images", name)
			}
		}
	}
	if fromPack.Digests["train"] == all.Digests["train"] {
		t.Error("some classes have the digest of all")
	}
	others := packed
	others.Classes = []string{"c0", "c2"}
	if open(t, others).Digests["train"] == fromPack.Digests["train"] {
		t.Error("another order of the classes has the same digest")
	}
}

func TestClassesRefuses(t *testing.T) {
	t.Parallel()
	for says, classes := range map[string][]string{
		"no class is called \"dics\"; did you mean disc?":                   {"disc", "dics"},
		"no class is called \"zebra\"; the classes are disc, square, trian": {"zebra"},
		"names disc twice": {"disc", "ring", "disc"},
	} {
		_, err := Open(t.Context(), recipe.Data{Name: "shapes", Train: 20, Test: 20, Classes: classes})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %q", classes, err, says)
		}
	}
}

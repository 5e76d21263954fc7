//go:build unix

package data

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ablate/recipe"
)

// A pipe or a device in place of any file of a data set is an error at once. Opening used to wait
// for ten of them, and to read twelve without end.
func TestPipesAndDevicesAreNoData(t *testing.T) {
	t.Parallel()
	list := map[string][]string{
		"imagefolder":   {"train", "train/a/1.png"},
		"tiny-imagenet": {"wnids.txt", "val/val_annotations.txt"},
		"packed":        {"pack.json"},
		"imagenet":      {"ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"},
	}
	for _, s := range List() {
		for _, f := range s.Files {
			list[s.Name] = append(list[s.Name], f.Name, strings.TrimSuffix(f.Name, ".gz"))
		}
	}
	for name, files := range list {
		for _, file := range files {
			for kind, put := range map[string]func(string) error{
				"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
				"device": func(path string) error { return os.Symlink("/dev/zero", path) },
			} {
				root := t.TempDir()
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				for _, dir := range []string{"train/a", "train/a/images", "val/a"} {
					if file != "train" {
						os.MkdirAll(filepath.Join(root, dir), 0o755)
					}
				}
				if err := put(path); err != nil {
					t.Skip(err)
				}
				if _, err := Open(t.Context(), recipe.Data{Name: name, Root: root, Size: 8}); err == nil {
					t.Errorf("%s with a %s as %s: no error", name, kind, file)
				}
			}
		}
		if name != "shapes" {
			if _, err := Open(t.Context(), recipe.Data{Name: name, Root: "/dev/zero"}); err == nil {
				t.Errorf("%s in /dev/zero: no error", name)
			}
		}
	}
}

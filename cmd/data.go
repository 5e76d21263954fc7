package cmd

import (
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"ablate/reports"
	"ablate/runner/data"
	"ablate/runner/data/imagefiles"
	"ablate/runner/data/imaging"
	"ablate/runner/data/pack"
)

func newData() *cobra.Command {
	var fit imaging.Fit
	c := &cobra.Command{
		Use:   "data",
		Short: "List the data sets, check one on disk, or pack image files",
		Example: `  ablate data list
  ablate data check cifar10 data/cifar-10-batches-bin
  ablate data pack photos photos-224 --size 224`,
		Args: cobra.NoArgs,
	}
	list := &cobra.Command{
		Use:     "list",
		Short:   "List the data sets, where to get them and what data.root must contain",
		Example: `  ablate data list`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, s := range data.List() {
				printSource(c.OutOrStdout(), s)
			}
			return nil
		},
	}
	check := &cobra.Command{
		Use:   "check NAME ROOT",
		Short: "Verify a data set: sizes, digests, every image, class balance, duplicates",
		Example: `  ablate data check cifar10 data/cifar-10-batches-bin
  ablate data check imagefolder photos`,
		Long: `check reads the whole data set and reports what is wrong with it: files with a wrong
size or digest, files without a usable image, images that are in both splits or
more than once in training. NAME is a name from ablate data list; packed is for a
folder that ablate data pack made. The printed SHA-256 are those that runs record
if their images have the same size.

Exit codes: 0 nothing is wrong, 1 some files have no usable image, 2 this is not
the data set, or it is damaged.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			progress := newImageProgress(c.ErrOrStderr())
			r, err := data.Check(c.Context(), args[0], args[1], fit, progress.read)
			progress.line.clear()
			if err != nil {
				return interrupted(c, err)
			}
			defer r.Dataset.Close()
			return printCheck(c, r)
		},
	}
	check.Flags().IntVar(&fit.ShortSide, "short-side", 0,
		"resize the shorter side of image files to this and cut out the central square; 256 if neither is given")
	check.Flags().IntVar(&fit.Size, "size", 0, "stretch image files to this height and width")
	check.MarkFlagsMutuallyExclusive("short-side", "size")
	c.AddCommand(list, check, newPack())
	return c
}

func printSource(w io.Writer, s data.Source) {
	fmt.Fprintf(w, "%s\n  %s\n  from    %s\n  layout  %s\n", s.Name, s.What, s.Where, s.Layout)
	for _, f := range s.Files {
		fmt.Fprintf(w, "  file    %s", f.Name)
		if f.Bytes > 0 {
			fmt.Fprintf(w, ", %s bytes", reports.Thousands(f.Bytes))
		}
		if f.MD5 != "" {
			fmt.Fprint(w, ", MD5 ", f.MD5)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
}

func printCheck(c *cobra.Command, r data.Report) error {
	w := c.OutOrStdout()
	ds := r.Dataset
	fmt.Fprintf(w, "%s: %s training and %s test images of %v", ds.Name,
		reports.Thousands(ds.Train.Len()), reports.Thousands(ds.Test.Len()), ds.Shape)
	if ds.Files != nil {
		fmt.Fprintf(w, ", made of %s (%s)", ds.Files, ds.Fit)
	}
	fmt.Fprintf(w, "\nin both splits: %d; more than once in training: %d\n", len(r.Shared), len(r.Repeated))
	printDuplicates(w, "test", r.Shared)
	printDuplicates(w, "training", r.Repeated)
	fmt.Fprintf(w, "sha256 train %s\nsha256 test  %s\n\n", ds.Digests["train"], ds.Digests["test"])
	rows := [][]string{{"class", "training", "test"}}
	for i, n := range r.Balance {
		rows = append(rows, []string{ds.Classes[i], reports.Thousands(n[0]), reports.Thousands(n[1])})
	}
	if err := printTable(w, rows, "lrr"); err != nil {
		return err
	}
	for _, l := range ds.Skipped {
		fmt.Fprintln(w, "bad ", l)
	}
	if n := len(ds.Skipped); n > 0 {
		return &exit{exitFailed, fmt.Errorf("%d files have no usable image", n)}
	}
	return nil
}

// printDuplicates lists the first of the images that occur twice.
func printDuplicates(w io.Writer, split string, list []data.Duplicate) {
	const most = 20
	for _, d := range list[:min(len(list), most)] {
		fmt.Fprintf(w, "  %s %s = training %s\n", split, d.Image, d.Of)
	}
	if more := len(list) - most; more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}

type packOptions struct {
	fit        imaging.Fit
	jobs       int
	maxSkipped int
}

func newPack() *cobra.Command {
	var o packOptions
	c := &cobra.Command{
		Use:   "pack SRC DST",
		Short: "Decode and resize image files once, into files that training maps into memory",
		Example: `  ablate data pack imagenet imagenet-256
  ablate data pack tiny-imagenet-200 tiny-64 --size 64`,
		Long: `pack reads the image files of SRC (an ImageFolder tree, Tiny ImageNet's, or a
folder with the ILSVRC 2012 archives as downloaded) and writes them to DST as
plain RGB bytes of one size, with labels, digests, the mean image and the
colours' principal components. Studies then use

  data: {name: packed, root: DST}

The bytes depend only on the files and the size, not on --jobs. If packing was
stopped, the same command continues it; an unfinished pack cannot be used. Files
without a usable image are listed in DST/left-out.txt. If there are more than
--max-skipped, the command fails.

Exit codes: 0 packed, 1 too many bad files, or reading or writing failed, 2 usage,
or SRC does not have the layout of a data set, 3 interrupted.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return packFiles(c, args[0], args[1], o) },
	}
	f := c.Flags()
	f.IntVar(&o.fit.ShortSide, "short-side", 256,
		"resize the shorter side to `N` and cut out the central square (paper, section 2)")
	f.IntVar(&o.fit.Size, "size", 0, "stretch the whole image to height and width `N` instead")
	f.IntVar(&o.jobs, "jobs", runtime.GOMAXPROCS(0), "decode `N` files at a time")
	f.IntVar(&o.maxSkipped, "max-skipped", 0, "skip at most `N` files without a usable image")
	f.IntVar(&o.maxSkipped, "max-bad", 0, "former name of --max-skipped")
	f.Lookup("max-bad").Hidden = true
	c.MarkFlagsMutuallyExclusive("short-side", "size")
	return c
}

func packFiles(c *cobra.Command, src, dst string, o packOptions) error {
	if o.fit.Size != 0 {
		o.fit.ShortSide = 0
	}
	if err := o.fit.Validate(); err != nil {
		return err
	}
	if o.jobs < 1 || o.maxSkipped < 0 {
		return fmt.Errorf("--jobs %d --max-skipped %d: want at least 1 and 0", o.jobs, o.maxSkipped)
	}
	set, err := imagefiles.Open(src)
	if err != nil {
		return err
	}
	defer set.Close()
	progress := newImageProgress(c.ErrOrStderr())
	m, err := pack.Write(c.Context(), set, dst, pack.Options{
		Fit: o.fit, Workers: o.jobs, MaxSkipped: o.maxSkipped, Progress: progress.packed,
	})
	progress.line.clear()
	if err != nil {
		if err := interrupted(c, err); errors.As(err, new(*exit)) {
			return err
		}
		return &exit{exitFailed, err}
	}
	w := c.OutOrStdout()
	train, test := m.Splits["train"], m.Splits["test"]
	fmt.Fprintf(w, "%s: %s training and %s test images of %d×%d×3, %d classes; %d files skipped, %d ignored\n", dst,
		reports.Thousands(train.Images), reports.Thousands(test.Images), m.Fit.Side(), m.Fit.Side(), len(m.Classes),
		len(m.Skipped), len(set.Ignored))
	return nil
}

// interrupted returns the error of a command that the user stopped, and otherwise err.
func interrupted(c *cobra.Command, err error) error {
	if err != nil && c.Context().Err() != nil {
		return &exit{exitInterrupted, fmt.Errorf("interrupted (%w); the same command continues", err)}
	}
	return err
}

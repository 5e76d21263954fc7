package cmd

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/device"
	"ablate/runner/engine"
	"ablate/runner/train"
)

func newPredict() *cobra.Command {
	var top, images int
	var asJSON, features bool
	c := &cobra.Command{
		Use:   "predict RUN FILE…",
		Short: "Classify photographs with the weights of a run",
		Example: `  ablate predict photos/baseline/1 cat.jpg dog.png
  ablate predict quickstart/baseline/1 --features`,
		Long: `predict runs the net of a finished run on JPEG and PNG files, and prints the most
likely classes of each with their probabilities. A file becomes an input in the same
way as the run's test images: resized, cropped, its mean subtracted. If the images of
the data set have a fixed size, the shorter side is resized to it and the centre is
cut out. RUN is STUDY/VARIANT/SEED or the run's folder.

With --features it takes no files. It writes what the last hidden layer makes of the
run's own test images to features.safetensors in the run's folder, and small pictures
of them to features.png. The pages of ablate serve and ablate report --format html
then show which images the net holds to be alike.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case features:
				return writeFeatures(c, args, images, asJSON)
			case len(args) < 2:
				return errors.New("name the image files to classify, as in ablate predict RUN cat.jpg; or use --features")
			case top < 1:
				return fmt.Errorf("--top %d: want at least 1", top)
			}
			return withTrained(c, args[0], func(_ string, net *runner.Trained, group *engine.Group) error {
				guesses, err := net.Predict(c.Context(), args[1:], top, group)
				if err != nil {
					return err
				}
				return printGuesses(c, args[1:], guesses, asJSON)
			})
		},
	}
	c.Flags().IntVar(&top, "top", 5, "print the `N` most likely classes")
	c.Flags().BoolVar(&features, "features", false, "write the last hidden layer's features of the test images")
	c.Flags().IntVar(&images, "images", 1000, "with --features: of `N` test images, spread over all")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addDeviceFlags(c)
	return c
}

// writeFeatures writes the features of a run's test images into its folder.
func writeFeatures(c *cobra.Command, args []string, images int, asJSON bool) error {
	switch {
	case len(args) > 1:
		return fmt.Errorf("--features is for the run's own test images; leave out %s", args[1])
	case images < 2 || images > experiments.MaxFeatureImages:
		return fmt.Errorf("--images %d: want 2 to %d", images, experiments.MaxFeatureImages)
	}
	return withTrained(c, args[0], func(dir string, net *runner.Trained, group *engine.Group) error {
		f, err := net.Features(c.Context(), images, group)
		if err != nil {
			return err
		}
		if err := experiments.SaveFeatures(dir, f); err != nil {
			return err
		}
		path := experiments.FeaturesPath(dir)
		if asJSON {
			return printJSON(c.OutOrStdout(), struct {
				File     string `json:"file"`
				Pictures string `json:"pictures"`
				Images   int    `json:"images"`
				Features int    `json:"features"`
			}{path, experiments.PicturesPath(dir), len(f.Index), f.Width})
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d features of each of %d test images\n", path, f.Width, len(f.Index))
		return err
	})
}

func newEvaluate() *cobra.Command {
	var changes []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "evaluate RUN",
		Short: "Test the weights of a run again, also on other data",
		Example: `  ablate evaluate quickstart/baseline/1
  ablate evaluate photos/baseline/1 --data root=new-photos --data test=0`,
		Long: `evaluate tests the net of a finished run, and prints its errors and its loss. --data
changes a key of the study's data, as --set data.KEY would: another folder, another
data set, other crops. Classes are matched by name. The mean image stays the one
that the net was trained with. Nothing is recorded. RUN is STUDY/VARIANT/SEED or the
run's folder.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withTrained(c, args[0], func(_ string, net *runner.Trained, group *engine.Group) error {
				score, err := net.Evaluate(c.Context(), changes, group)
				if err != nil {
					return err
				}
				return printScore(c, score, asJSON)
			})
		},
	}
	c.Flags().StringArrayVar(&changes, "data", nil, "change a key of the data: `KEY=VALUE` (repeatable)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addDeviceFlags(c)
	return c
}

func addDeviceFlags(c *cobra.Command) {
	c.Flags().String("device", "auto", deviceUsage)
	c.Flags().Int("threads", 0, threadsUsage)
}

// withTrained opens a run's folder and net, and the devices to evaluate it on.
func withTrained(c *cobra.Command, run string, use func(string, *runner.Trained, *engine.Group) error) error {
	settings, err := settings(c)
	if err != nil {
		return err
	}
	store, err := experiments.Open(settings.Runs)
	if err != nil {
		return err
	}
	dir, err := store.Find(run)
	if err != nil {
		return err
	}
	net, err := runner.OpenTrained(dir)
	if err != nil {
		return err
	}
	group, err := device.Open(settings.Device, settings.Threads)
	if err != nil {
		return err
	}
	defer group.Close()
	if err := use(dir, net, group); err != nil {
		return errors.Join(err, ctxError(c.Context()))
	}
	return nil
}

// printGuesses prints a row for each guess; the file is named beside its most likely class.
func printGuesses(c *cobra.Command, files []string, guesses [][]train.Guess, asJSON bool) error {
	if asJSON {
		type classified struct {
			File    string        `json:"file"`
			Classes []train.Guess `json:"classes"`
		}
		all := make([]classified, len(files))
		for i, file := range files {
			all[i] = classified{file, guesses[i]}
		}
		return printJSON(c.OutOrStdout(), all)
	}
	rows := [][]string{{"file", "class", "%"}}
	for i, file := range files {
		for _, g := range guesses[i] {
			rows = append(rows, []string{file, g.Class, fmt.Sprintf("%.2f", 100*g.Probability)})
			file = ""
		}
	}
	return printTable(c.OutOrStdout(), rows, "llr")
}

func printScore(c *cobra.Command, s train.Score, asJSON bool) error {
	if asJSON {
		return printJSON(c.OutOrStdout(), struct {
			Images int                `json:"images"`
			Top1   float64            `json:"test_top1_error"`
			Top5   float64            `json:"test_top5_error"`
			Loss   experiments.Number `json:"test_loss"`
		}{s.Images, s.Top1Error(), s.Top5Error(), experiments.Number(s.Loss())})
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%d test images: top-1 error %.2f %%, top-5 error %.2f %%, loss %.4f\n",
		s.Images, 100*s.Top1Error(), 100*s.Top5Error(), s.Loss())
	return err
}

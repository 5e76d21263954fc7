package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ablate/configs"
	"ablate/reports"
	"ablate/runner"
)

// A selection holds the flags that choose and change runs of a study.
type selection struct {
	sets     []string
	variants []string
	seeds    int
	only     []string
	every    string
	parallel string
	again    bool
}

func (s *selection) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&s.sets, "set", nil, "override a key of the study: `KEY=VALUE`, such as train.epochs=1 (repeatable)")
	f.StringSliceVar(&s.variants, "variants", nil, "run only these variants, and the baseline: `NAME,…`")
	f.IntVar(&s.seeds, "seeds", 0, "run only the first `N` seeds")
	f.StringSliceVar(&s.only, "only", nil, "train only these runs, `VARIANT/SEED` (repeatable)")
	f.StringVar(&s.every, "checkpoint-every", "",
		"save an unfinished run every `INTERVAL`: 10m, 2 epochs, 100 steps, or never (only on Ctrl-C);\n"+
			"the default is what the study says, or 10m")
	f.BoolVar(&s.again, "aa", false, "also train the baseline under other seeds, as the variant aa")
	f.StringVar(&s.parallel, "parallel", "", parallelUsage)
}

// again returns the setting that adds the baseline as another variant, under its own seeds. This is
// an A/A test: the variant goes through plan, training, table and verdict like any other, but there
// is no effect to find.
func again(study *configs.Study) string {
	key := "train.seed_offset"
	if study.Variants[0].Recipe.Trainer != nil {
		key = "trainer.seed_offset"
	}
	return "variants.aa={edits: [{set: {key: " + key + ", value: 1000000}}]}"
}

// load reads a study and lists the selected jobs. The study's declaration is read before variants
// are left out, so that the selection does not change the family of comparisons.
func (s *selection) load(name string) (stage, error) {
	sets := s.sets
	if s.parallel != "" {
		sets = append(slices.Clone(sets), "parallel="+s.parallel)
	}
	study, err := configs.Load(name, sets)
	if err == nil && s.again {
		sets = append(slices.Clone(sets), again(study))
		study, err = configs.Load(name, sets)
	}
	if err != nil {
		return stage{}, err
	}
	declared := declares(study)
	jobs, err := s.jobs(study)
	return stage{study, declared, jobs}, err
}

func (s *selection) jobs(study *configs.Study) ([]runner.Job, error) {
	if _, err := reports.ParseAt(study.Report.At); err != nil {
		return nil, fmt.Errorf("study %s: report.at: %w", study.Name, err)
	}
	if err := s.narrow(study); err != nil {
		return nil, err
	}
	if s.every != "" {
		if study.Variants[0].Recipe.Trainer != nil {
			return nil, errors.New("--checkpoint-every: a program saves its own checkpoints, in ABLATE_CHECKPOINTS")
		}
		var err error
		if study.Checkpoint, err = configs.ParseInterval(s.every); err != nil {
			return nil, fmt.Errorf("--checkpoint-every: %w", err)
		}
	}
	jobs, err := runner.Plan(study)
	if err != nil {
		return nil, err
	}
	return s.pick(jobs)
}

// narrow keeps the chosen variants and seeds. It always keeps the baseline, with which all others
// are compared.
func (s *selection) narrow(study *configs.Study) error {
	if s.seeds < 0 || s.seeds > len(study.Seeds) {
		return fmt.Errorf("--seeds %d: the study has %d; to train more, use --set seeds=%d",
			s.seeds, len(study.Seeds), max(s.seeds, 1))
	}
	if s.seeds > 0 {
		study.Seeds = study.Seeds[:s.seeds]
	}
	if len(s.variants) == 0 {
		return nil
	}
	names := variantNames(study)
	for _, want := range s.variants {
		if !slices.Contains(names, want) {
			return fmt.Errorf("--variants %s: the study has %s", want, strings.Join(names, ", "))
		}
	}
	baseline := study.Variants[0].Name
	study.Variants = slices.DeleteFunc(study.Variants, func(v configs.Variant) bool {
		return v.Name != baseline && !slices.Contains(s.variants, v.Name)
	})
	return nil
}

// pick keeps the runs that --only names.
func (s *selection) pick(jobs []runner.Job) ([]runner.Job, error) {
	if len(s.only) == 0 {
		return jobs, nil
	}
	var picked []runner.Job
	for _, want := range s.only {
		i := slices.IndexFunc(jobs, func(j runner.Job) bool {
			return fmt.Sprintf("%s/%d", j.Variant.Name, j.Seed) == want
		})
		if i < 0 {
			return nil, fmt.Errorf("--only %s: the study has no such run; want VARIANT/SEED, as in --only %s/%d",
				want, jobs[0].Variant.Name, jobs[0].Seed)
		}
		picked = append(picked, jobs[i])
	}
	return picked, nil
}

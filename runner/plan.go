// Package runner turns a study into runs: it plans them, trains them one after the other and
// records their results. It also verifies recorded runs, predicts how long a study takes and times
// a net's training step.
package runner

import (
	"fmt"

	"ablate/arch"
	"ablate/configs"
	"ablate/recipe"
)

// A Job is a variant under one seed.
type Job struct {
	Variant configs.Variant
	Seed    uint64
	Cost    arch.Cost
}

// Work returns the number of multiply-accumulates of training: the forward pass, and twice as many
// for the two gradients. A program does not say how much work it has, so all programs count the
// same.
func (j Job) Work(trainImages int) float64 {
	if j.Variant.Recipe.IsProgram() {
		return 1
	}
	return 3 * float64(j.Cost.MACs) * float64(trainImages) * float64(j.Variant.Recipe.Train.Epochs)
}

// costOf returns the cost of a recipe's net; the cost of a program is not known.
func costOf(r recipe.Recipe) (arch.Cost, error) {
	if r.IsProgram() {
		return arch.Cost{}, nil
	}
	return r.Net.Cost()
}

// Plan lists a study's jobs: all variants under the first seed, then all under the next, so that
// an unfinished study is already a comparison.
func Plan(s *configs.Study) ([]Job, error) {
	var jobs []Job
	for _, seed := range s.Seeds {
		for _, v := range s.Variants {
			cost, err := costOf(v.Recipe)
			if err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			jobs = append(jobs, Job{Variant: v, Seed: seed, Cost: cost})
		}
	}
	return jobs, nil
}

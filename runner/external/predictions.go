package external

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
)

// maxPredictions bounds how many predictions a program may make.
const maxPredictions = 1 << 22

// readPredictions reads a program's predictions for the test images, with the columns index, label
// and predicted, and any others. It returns nil if the program wrote none.
func readPredictions(path string) ([]experiments.Prediction, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s: not a regular file", predictionsFile))
	}
	ps, err := parsePredictions(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", predictionsFile, err)
	}
	return ps, nil
}

func parsePredictions(r io.Reader) ([]experiments.Prediction, error) {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("the first line: %w", err)
	}
	var columns [3]int
	for i, name := range []string{"index", "label", "predicted"} {
		if columns[i] = slices.Index(head, name); columns[i] < 0 {
			return nil, fmt.Errorf("no column %s; it has %s", name, strings.Join(head, ", "))
		}
	}
	seen := map[int]bool{}
	var ps []experiments.Prediction
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := c.FieldPos(0)
		p := experiments.Prediction{LogProb: math.NaN()}
		for i, to := range []*int{&p.Index, &p.Label, &p.Predicted} {
			if *to, err = strconv.Atoi(row[columns[i]]); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
		}
		if p.Label == p.Predicted { // the rank of a wrong one is unknown, so it stays 0
			p.Rank = 1
		}
		if seen[p.Index] {
			return nil, fmt.Errorf("line %d: index %d is there twice", line, p.Index)
		}
		if seen[p.Index] = true; len(ps) == maxPredictions {
			return nil, fmt.Errorf("more than %d predictions", maxPredictions)
		}
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b experiments.Prediction) int { return a.Index - b.Index })
	return ps, nil
}

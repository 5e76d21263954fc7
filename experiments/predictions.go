package experiments

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
)

var predictionsHead = []string{"index", "label", "predicted", "rank", "log_prob"}

func writePredictions(path string, ps []Prediction) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{predictionsHead}
	for _, p := range ps {
		rows = append(rows, []string{strconv.Itoa(p.Index), strconv.Itoa(p.Label), strconv.Itoa(p.Predicted), strconv.Itoa(p.Rank),
			strconv.FormatFloat(p.LogProb, 'g', -1, 64)})
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return WriteFile(path, b.Bytes())
}

// ReadPredictions reads predictions.csv.
func ReadPredictions(path string) ([]Prediction, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(rows) == 0 || !slices.Equal(rows[0], predictionsHead) {
		return nil, fmt.Errorf("%s: the first line is not %v", path, predictionsHead)
	}
	ps := make([]Prediction, len(rows)-1)
	for i, row := range rows[1:] {
		p := &ps[i]
		for j, to := range []*int{&p.Index, &p.Label, &p.Predicted, &p.Rank} {
			if *to, err = strconv.Atoi(row[j]); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, i+2, err)
			}
		}
		if p.LogProb, err = strconv.ParseFloat(row[4], 64); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+2, err)
		}
	}
	return ps, nil
}

package experiments

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxImages limits how many predictions are read.
const maxImages = 1 << 22

var predictionsHead = []string{"index", "label", "predicted", "rank", "log_prob"}

func writePredictions(path string, ps []Prediction) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{predictionsHead}
	for _, p := range ps {
		rows = append(rows, []string{strconv.Itoa(p.Index), strconv.Itoa(p.Label), strconv.Itoa(p.Predicted),
			strconv.Itoa(p.Rank), strconv.FormatFloat(p.LogProb, 'g', -1, 64)})
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return WriteFile(path, b.Bytes())
}

// ReadPredictions reads predictions.csv.
func ReadPredictions(path string) ([]Prediction, error) {
	f, _, err := openFile(path, maxPredictions)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ps, err := parsePredictions(f, maxImages)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ps, nil
}

func parsePredictions(r io.Reader, limit int) ([]Prediction, error) {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	head, err := c.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !slices.Equal(head, predictionsHead) {
		return nil, fmt.Errorf("the first line is not %s", strings.Join(predictionsHead, ","))
	}
	var ps []Prediction
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return ps, nil
		}
		if err != nil {
			return nil, err
		}
		var p Prediction
		for i, to := range []*int{&p.Index, &p.Label, &p.Predicted, &p.Rank} {
			if *to, err = strconv.Atoi(row[i]); err != nil {
				return nil, badField(c, i, err)
			}
		}
		if p.LogProb, err = strconv.ParseFloat(row[4], 64); err != nil {
			return nil, badField(c, 4, err)
		}
		if len(ps) == limit {
			return nil, fmt.Errorf("more than %d images", limit)
		}
		ps = append(ps, p)
	}
}

func badField(c *csv.Reader, field int, err error) error {
	line, _ := c.FieldPos(field)
	return fmt.Errorf("line %d: %s: %w", line, predictionsHead[field], err)
}

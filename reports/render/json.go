package render

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"unicode"
	"unicode/utf16"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/ledger"
	"ablate/reports/stats"
)

// JSONSchema is the JSON Schema of everything that is printed as JSON.
//
//go:embed report.schema.json
var JSONSchema string

// jsonVersion is the version of the format that writeJSON writes and report.schema.json describes.
const jsonVersion = 1

// The types below are the report as JSON. report.schema.json describes each key.
type (
	jsonReport struct {
		Format      string        `json:"format"`
		Version     int           `json:"version"`
		Study       string        `json:"study"`
		Against     string        `json:"against,omitempty"`
		Net         string        `json:"net"`
		Data        string        `json:"data"`
		Metric      jsonMetric    `json:"metric"`
		At          string        `json:"at"`
		Shape       reports.Shape `json:"shape"`
		Exploratory bool          `json:"exploratory,omitempty"`
		Look        *jsonLook     `json:"look,omitempty"`
		Epochs      jsonRange     `json:"epochs"`
		Seeds       []uint64      `json:"seeds"`
		Baseline    string        `json:"baseline,omitempty"`
		Comparisons int           `json:"comparisons"`
		Rows        []jsonRow     `json:"rows"`
		Effects     []jsonEffect  `json:"effects,omitempty"`
		Notes       []string      `json:"notes"`
		Origin      []string      `json:"origin"`
	}
	jsonMetric struct {
		Name   string `json:"name"`
		Title  string `json:"title"`
		Share  bool   `json:"share"`
		Better string `json:"better"`
		Unit   string `json:"unit,omitempty"`
	}
	jsonLook struct {
		Seeds  int     `json:"seeds"`
		Alpha  float64 `json:"alpha"`
		Next   int     `json:"next,omitempty"`
		Looked []int   `json:"looked"`
	}
	jsonRange struct {
		Min int `json:"min"`
		Max int `json:"max"`
	}
	jsonRow struct {
		Variant   string                     `json:"variant"`
		Changes   []string                   `json:"changes"`
		Ablations []string                   `json:"ablations"`
		Status    map[experiments.Status]int `json:"status"`
		Runs      []jsonRun                  `json:"runs"`
		Value     *jsonEstimate              `json:"value"`
		Delta     *jsonDelta                 `json:"delta"`
		Params    int64                      `json:"params,omitempty"`
		MACs      int64                      `json:"macs,omitempty"`
		Published *jsonPublished             `json:"published,omitempty"`
		Speeds    []jsonSpeed                `json:"speeds,omitempty"`
		Notes     []string                   `json:"notes"`
	}
	jsonRun struct {
		Seed  uint64   `json:"seed"`
		Value *float64 `json:"value"`
		Epoch int      `json:"epoch"`
	}
	jsonEstimate struct {
		K        int        `json:"k"`
		Mean     *float64   `json:"mean"`
		SD       *float64   `json:"sd"`
		Interval []*float64 `json:"interval"`
	}
	jsonDelta struct {
		jsonEstimate
		P        *float64    `json:"p"`
		Adjusted *float64    `json:"p_adjusted"`
		Alone    []*float64  `json:"unadjusted,omitempty"`
		Wins     jsonWins    `json:"wins"`
		Nets     *jsonNets   `json:"nets,omitempty"`
		Pairs    []jsonPair  `json:"pairs"`
		Outside  bool        `json:"exploratory,omitempty"`
		Errors   *jsonErrors `json:"errors,omitempty"`
		Bayesian *jsonPrior  `json:"bayesian,omitempty"`
		Verdict  jsonVerdict `json:"verdict"`
	}
	jsonErrors struct {
		Seeds   *float64 `json:"seeds"`
		Images  *float64 `json:"images"`
		Both    *float64 `json:"both"`
		Widened bool     `json:"widened"`
	}
	jsonPrior struct {
		Better float64  `json:"better"`
		Within *float64 `json:"within_margin,omitempty"`
	}
	jsonPair struct {
		Seed       uint64   `json:"seed"`
		Difference *float64 `json:"difference"`
	}
	jsonEffect struct {
		Factors []string `json:"factors"`
		jsonEstimate
		P        *float64    `json:"p"`
		Adjusted *float64    `json:"p_adjusted"`
		Alone    []*float64  `json:"unadjusted,omitempty"`
		Verdict  jsonVerdict `json:"verdict"`
	}
	jsonWins struct {
		Won      int        `json:"won"`
		Tied     int        `json:"tied"`
		Lost     int        `json:"lost"`
		Share    *float64   `json:"share"`
		Interval []*float64 `json:"interval"`
		Word     string     `json:"word"`
	}
	jsonNets struct {
		OnlyThis  int      `json:"only_this"`
		OnlyOther int      `json:"only_other"`
		P         *float64 `json:"p"`
	}
	jsonVerdict struct {
		Word       stats.Word `json:"word"`
		Beyond     *float64   `json:"no_difference_beyond,omitempty"`
		Margin     *float64   `json:"margin,omitempty"`
		NeedsSeeds int        `json:"needs_seeds,omitempty"`
	}
	jsonPublished struct {
		Delta      *float64         `json:"delta"`
		Bound      string           `json:"bound,omitempty"`
		Key        string           `json:"key"`
		Source     string           `json:"source"`
		Where      string           `json:"where"`
		Agreement  ledger.Agreement `json:"agreement"`
		Why        string           `json:"why,omitempty"`
		Confounded string           `json:"confounded,omitempty"`
		Memory     bool             `json:"memory,omitempty"`
	}
	jsonSpeed struct {
		Hardware        string   `json:"hardware"`
		Device          string   `json:"device,omitempty"`
		BytesMoved      int64    `json:"bytes_moved,omitempty"`
		Runs            int      `json:"runs"`
		ImagesPerSecond *float64 `json:"images_per_second"`
	}
)

// writeJSON prints everything that is known of the comparison, with figures in full precision, as report.schema.json
// describes it.
func writeJSON(b *bytes.Buffer, of *reports.Comparison) error {
	return printJSON(b, view{of}.jsonReport())
}

func (c view) jsonReport() jsonReport {
	r := jsonReport{
		Format: "ablate-report", Version: jsonVersion, Study: c.Study, Against: c.Against, Net: c.Net, Data: c.Data,
		Metric: jsonMetricOf(c.Metric),
		At:     c.At.String(), Shape: c.Shape, Exploratory: c.Exploratory,
		Epochs: jsonRange{c.Epochs[0], c.Epochs[1]}, Seeds: c.Seeds, Baseline: c.Baseline, Comparisons: c.Family,
		Notes: list(c.Notes), Origin: list(c.Origin),
	}
	if p := c.Options.Primary; p != nil && len(p.Looks) > 0 {
		r.Look = &jsonLook{Seeds: c.Look.Seeds, Alpha: c.Look.Alpha, Next: c.Look.Next, Looked: list(c.Options.Looked)}
	}
	for _, row := range c.Rows {
		r.Rows = append(r.Rows, c.jsonRow(row))
	}
	for _, e := range c.Effects {
		r.Effects = append(r.Effects, jsonEffect{Factors: e.Factors, jsonEstimate: estimate(e.Estimate), P: finite(e.P),
			Adjusted: finite(e.Adjusted), Alone: interval(e.Alone), Verdict: jsonVerdictOf(e.Verdict)})
	}
	return r
}

func jsonMetricOf(m reports.Metric) jsonMetric {
	return jsonMetric{Name: m.Name, Title: m.Title, Share: m.Share, Better: m.Better(), Unit: m.Unit}
}

// escapeUnprintable writes JSON so that a terminal shows it unchanged. It escapes signs that would turn the line's
// direction or that cannot be printed.
func escapeUnprintable(b *bytes.Buffer, text string) {
	for _, r := range text {
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(b, `\u%04x`, unit)
		}
	}
}

func (c view) jsonRow(row reports.Row) jsonRow {
	r := jsonRow{
		Variant: row.Variant, Changes: list(row.Changes), Ablations: list(row.Ablations), Status: row.Status,
		Runs: []jsonRun{}, Params: row.Params, MACs: row.MACs, Notes: list(row.Notes),
	}
	for _, run := range row.Runs {
		r.Runs = append(r.Runs, jsonRun{run.Seed, finite(run.Error), run.Epoch})
	}
	if row.Error.K > 0 {
		e := estimate(row.Error)
		r.Value = &e
	}
	if d := row.Delta; d != nil {
		r.Delta = &jsonDelta{
			jsonEstimate: estimate(d.Estimate), P: finite(d.P), Adjusted: finite(d.Adjusted), Verdict: jsonVerdictOf(d.Verdict),
			Outside: d.Outside, Alone: interval(d.Alone),
			Wins: jsonWins{Won: d.Wins.Won, Tied: d.Wins.Tied, Lost: d.Wins.Lost, Share: finite(d.Wins.Share),
				Interval: interval(&d.Wins.Interval), Word: d.Wins.Word()},
		}
		for _, p := range d.Pairs {
			r.Delta.Pairs = append(r.Delta.Pairs, jsonPair{Seed: p.Seed, Difference: finite(p.Difference)})
		}
		if x := d.Images; x != nil {
			r.Delta.Errors = &jsonErrors{Seeds: finite(x.SeedError), Images: finite(x.ImageError), Both: finite(x.Error),
				Widened: d.Widened}
		}
		if p := d.Prior; p != nil {
			r.Delta.Bayesian = &jsonPrior{Better: p.Lower}
			if c.Metric.More {
				r.Delta.Bayesian.Better = 1 - p.Lower
			}
			if p.Within > 0 {
				r.Delta.Bayesian.Within = finite(p.Within)
			}
		}
		if n := d.Nets; n != nil {
			r.Delta.Nets = &jsonNets{n.OnlyFirst, n.OnlySecond, finite(n.P)}
		}
	}
	if j := row.Published; j != nil {
		r.Published = &jsonPublished{
			Delta: finite(j.Delta / 100), Bound: j.Figure.Bound,
			Key: j.Claim.Key, Source: j.Claim.Source, Where: j.Claim.Where,
			Agreement: j.Agreement, Why: j.Why, Confounded: j.Claim.Confounded, Memory: j.Claim.Memory,
		}
	}
	if c.Options.Speed {
		for _, s := range row.Speeds {
			r.Speeds = append(r.Speeds, jsonSpeed{Hardware: s.Hardware, Device: s.Device, BytesMoved: s.BytesMoved,
				Runs: s.Runs, ImagesPerSecond: finite(s.ImagesPerSecond)})
		}
	}
	return r
}

func estimate(e stats.Estimate) jsonEstimate {
	j := jsonEstimate{K: e.K, Mean: finite(e.Mean), Interval: interval(e.Interval)}
	if e.K > 1 {
		j.SD = finite(e.SD)
	}
	return j
}

func jsonVerdictOf(v stats.Verdict) jsonVerdict {
	j := jsonVerdict{Word: v.Word, NeedsSeeds: v.Needs}
	if v.Beyond > stats.SameDifference {
		j.Beyond = finite(v.Beyond)
	}
	if v.Margin > 0 {
		j.Margin = finite(v.Margin)
	}
	return j
}

// finite converts a figure for JSON, which has no NaN and no infinities: they become null.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func interval(i *stats.Interval) []*float64 {
	if i == nil {
		return nil
	}
	return []*float64{finite(i.Low), finite(i.High)}
}

// list returns a list that JSON writes as [] if it is empty.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

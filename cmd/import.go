package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ablate/experiments/export/mlflow"
	"ablate/experiments/importer"
	"ablate/strictyaml"
)

func newImport() *cobra.Command {
	c := &cobra.Command{
		Use:   "import",
		Short: "Import results of other programs as the runs of a study",
		Example: `  ablate import csv results.csv --study mine
  ablate import mlflow http://127.0.0.1:5000 --experiment cifar --variant-from tags.variant --study mine
  ablate import tensorboard logs --pattern '{variant}/{seed}' --study mine
  ablate import wandb-csv export.csv --column variant=Group --study mine`,
		Long: `import reads results that you already have and keeps them as records, which can be
reported, shown and exported like runs that ablate trained. Every table says that
they were imported, and from where. Repeating an import changes nothing; ambiguous
rows are errors that name file and row. ablate compare prints a table without keeping
records.`,
	}
	c.AddCommand(newImportCSV("csv", importer.CSV), newImportCSV("wandb-csv", importer.WandB), newImportTensorBoard(),
		newImportMLflow())
	return c
}

// A mapping holds what a user says about a table and about the comparison, in flags or in a file.
type mapping struct {
	file, study string
	columns     []string
	importer.Mapping
	importer.Choice
}

// mappingFile is a mapping as YAML.
type mappingFile struct {
	Columns  map[string]string `yaml:"columns"`
	Metrics  []string          `yaml:"metrics"`
	Params   []string          `yaml:"params"`
	Pattern  string            `yaml:"pattern"`
	Baseline string            `yaml:"baseline"`
	Metric   string            `yaml:"metric"`
	Better   string            `yaml:"better"`
	Unit     string            `yaml:"unit"`
	At       string            `yaml:"at"`
}

// choices defines the flags that every import has.
func (m *mapping) choices(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&m.Baseline, "baseline", "",
		"compare with the variant `NAME` (default: baseline, or the first one)")
	f.StringVar(&m.Metric, "metric", "", "compare by `METRIC`, if several were measured")
	f.StringVar(&m.Better, "better", "",
		"`WHICH` values of the metric are better: higher or lower (known for accuracies, errors and losses)")
	f.StringVar(&m.Unit, "unit", "", "the metric's `UNIT`; share is printed in percent")
	f.StringVar(&m.At, "at", "", "compare the figures of `EPOCH`: last, best, best-validation, epoch:N")
	f.StringVar(&m.file, "map", "", "read these choices from a YAML `FILE`; flags take precedence")
}

// table defines the flags for tables.
func (m *mapping) table(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&m.columns, "column", nil,
		"the name of a column: `ROLE=NAME`, such as variant=model (repeatable); the roles are\n"+
			strings.Join(importer.Roles, ", "))
	f.StringSliceVar(&m.Mapping.Metrics, "metrics", nil,
		"if a row is a run, the columns with figures, `NAME,…` (default: those that contain only numbers)")
	f.StringSliceVar(&m.Mapping.Params, "params", nil,
		"the columns with parameters, `NAME,…` (default: all others)")
}

// settle combines the flags and the file.
func (m *mapping) settle() error {
	m.Mapping.Columns = map[string]string{}
	if m.file != "" {
		text, err := strictyaml.ReadFile(m.file)
		if err != nil {
			return fmt.Errorf("--map: %w", err)
		}
		node, err := strictyaml.Parse(m.file, text)
		if err != nil {
			return err
		}
		var f mappingFile
		if err := node.Decode(&f); err != nil {
			return err
		}
		m.take(f)
	}
	for _, pair := range m.columns {
		role, name, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("--column %s: want ROLE=NAME, as in variant=model", pair)
		}
		m.Mapping.Columns[role] = name
	}
	switch m.Better {
	case "", "higher", "lower":
	default:
		return fmt.Errorf("--better %s: want higher or lower", m.Better)
	}
	m.Choice.Study = m.study
	return nil
}

// take uses the values of a file for which there is no flag.
func (m *mapping) take(f mappingFile) {
	for role, name := range f.Columns {
		m.Mapping.Columns[role] = name
	}
	for flag, said := range map[*string]string{
		&m.Baseline: f.Baseline, &m.Metric: f.Metric, &m.Better: f.Better, &m.Unit: f.Unit, &m.At: f.At,
		&m.Pattern: f.Pattern,
	} {
		if *flag == "" {
			*flag = said
		}
	}
	if m.Mapping.Metrics == nil {
		m.Mapping.Metrics = f.Metrics
	}
	if m.Mapping.Params == nil {
		m.Mapping.Params = f.Params
	}
}

func (m *mapping) studyFlag(c *cobra.Command) {
	c.Flags().StringVar(&m.study, "study", "", "keep the runs in the study `NAME`")
	c.MarkFlagRequired("study")
}

// readTable reads a table in one of the formats.
type readTable func(path string, stdin io.Reader, m importer.Mapping) (*importer.Source, error)

func newImportCSV(name string, read readTable) *cobra.Command {
	var m mapping
	c := &cobra.Command{
		Use:     name + " FILE",
		Short:   "Import a table: a row for each value, or for each run",
		Example: "  ablate import csv results.csv --study mine --column variant=model --metric accuracy",
		Long: `csv reads a table with the columns variant, seed, metric and value (and step, epoch,
split, dataset), or one with a row for each run: variant, seed, and a column for each
figure. --column names columns that have other names. FILE may be - for standard input.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := m.settle(); err != nil {
				return err
			}
			s, err := read(args[0], c.InOrStdin(), m.Mapping)
			if err != nil {
				return err
			}
			return m.keep(c, s)
		},
	}
	if name == "wandb-csv" {
		c.Short = "Import a CSV export of W&B: a table of runs, or a chart's data"
		c.Example = `  ablate import wandb-csv runs.csv --study mine --column variant=Group --metric val_accuracy
  ablate import wandb-csv chart.csv --study mine --pattern '{variant}-seed{seed}'`
		c.Long = `wandb-csv reads the CSV files that W&B's pages export: the table of runs, with a row
for each run, or the data of a chart, whose columns are called "RUN - METRIC". Runs
that did not finish are left out, and listed.`
		c.Flags().StringVar(&m.Pattern, "pattern", "",
			"take variant and seed from the runs' names by `PATTERN`, such as '{variant}-seed{seed}'")
	}
	m.studyFlag(c)
	m.choices(c)
	m.table(c)
	return c
}

func newImportTensorBoard() *cobra.Command {
	var m mapping
	c := &cobra.Command{
		Use:     "tensorboard DIR",
		Short:   "Import TensorBoard's event files",
		Example: "  ablate import tensorboard logs --pattern '{variant}/seed-{seed}' --study mine --metric val/accuracy",
		Long: `tensorboard reads the scalars of the event files in a folder and its subfolders.
--pattern says which parts of a run's path are its variant and its seed; * stands for any
part of a name. The names of subfolders of a run, such as Keras' train and validation,
become prefixes of the metrics' names.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := m.settle(); err != nil {
				return err
			}
			s, err := importer.TensorBoard(args[0], m.Pattern)
			if err != nil {
				return err
			}
			return m.keep(c, s)
		},
	}
	c.Flags().StringVar(&m.Pattern, "pattern", "{variant}/{seed}", "the `PATTERN` of the folders")
	m.studyFlag(c)
	m.choices(c)
	return c
}

func newImportMLflow() *cobra.Command {
	var m mapping
	var q mlflow.Query
	c := &cobra.Command{
		Use:   "mlflow URL",
		Short: "Import the runs of an experiment from an MLflow server",
		Example: `  ablate import mlflow http://127.0.0.1:5000 --experiment cifar --study mine \
      --variant-from tags.variant --seed-from params.seed --metric val_accuracy`,
		Long: `mlflow reads the finished runs of an experiment, with all their metrics and
parameters. --variant-from and --seed-from say where the variant and the seed of a run
are: tags.NAME, params.NAME or run_name. Credentials come from
MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := m.settle(); err != nil {
				return err
			}
			s, err := importMLflow(c.Context(), args[0], q)
			if err != nil {
				return err
			}
			return m.keep(c, s)
		},
	}
	f := c.Flags()
	f.StringVar(&q.Experiment, "experiment", "", "read the experiment `NAME`")
	f.StringVar(&q.Variant, "variant-from", "tags.variant",
		"take the variant from `WHERE`: tags.NAME, params.NAME or run_name")
	f.StringVar(&q.Seed, "seed-from", "params.seed", "take the seed from `WHERE`")
	f.StringVar(&q.Filter, "filter", "",
		"read only runs that match MLflow's `FILTER`, such as \"tags.kind = 'final'\"")
	c.MarkFlagRequired("experiment")
	m.studyFlag(c)
	m.choices(c)
	return c
}

func importMLflow(ctx context.Context, url string, q mlflow.Query) (*importer.Source, error) {
	runs, err := mlflow.Read(ctx, url, q)
	if err != nil {
		return nil, err
	}
	return importer.MLflow(url, q, runs)
}

// keep writes the runs that were read, and reports what is there now.
func (m *mapping) keep(c *cobra.Command, s *importer.Source) error {
	for _, why := range s.Left {
		complain(c.ErrOrStderr(), fmt.Errorf("left out: %s", why))
	}
	studies, err := s.Studies(m.Choice)
	if err != nil {
		return err
	}
	store, err := openStore(c)
	if err != nil {
		return err
	}
	var names []string
	for _, study := range studies {
		d := study.Declaration
		tally, err := study.Write(store)
		if err != nil {
			return err
		}
		names = append(names, d.Study)
		fmt.Fprintf(c.OutOrStdout(), "%s: %d runs imported, %d were there already: %d variants × %d seeds\n", d.Study,
			tally.Written, tally.Same, len(d.Variants), len(d.Seeds))
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "ablate report %s prints the table\n", strings.Join(names, " "))
	return err
}

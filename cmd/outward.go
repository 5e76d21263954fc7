package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"ablate/configs"
	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/hook"
	"ablate/experiments/export/mlflow"
	"ablate/experiments/export/tensorboard"
	"ablate/runner"
)

// How often sinks are updated, and how long they have after the study has ended. A user who pressed
// Ctrl-C waits for the shorter time.
const (
	feedEvery      = 5 * time.Second
	feedEnd        = time.Minute
	feedEndStopped = 10 * time.Second
)

// tokenVariable names the variable with the secret that is sent to a webhook.
const tokenVariable = "ABLATE_WEBHOOK_TOKEN"

// An outward reports a study to other programs, while it trains and when it has ended.
type outward struct {
	study    *configs.Study
	store    *experiments.Store
	warnings io.Writer
	sinks    configs.Sinks
	tell     configs.OnEnd
	feed     *export.Feed
}

// followed starts to feed the sinks that the flags, the study or the settings name.
func followed(flags configs.Sinks, settings configs.Settings, study *configs.Study, store *experiments.Store,
	warnings io.Writer) (*outward, error) {
	sinks, tell, err := settings.Outward()
	if err != nil {
		return nil, err
	}
	o := &outward{
		study: study, store: store, warnings: warnings, sinks: flags.Or(study.Sinks).Or(sinks), tell: study.OnEnd,
	}
	if !o.tell.Asks() {
		o.tell = tell
	}
	var list []export.Sink
	if o.sinks.TensorBoard != "" {
		list = append(list, tensorboard.New(o.sinks.TensorBoard))
	}
	if o.sinks.MLflow != "" {
		sink, err := mlflow.New(o.sinks.MLflow, store)
		if err != nil {
			return nil, fmt.Errorf("sinks.mlflow: %w", err)
		}
		list = append(list, sink)
	}
	var recipes []json.RawMessage
	for _, v := range study.Variants {
		text, err := json.Marshal(v.Recipe)
		if err != nil {
			return nil, err
		}
		recipes = append(recipes, text)
	}
	o.feed, err = export.StartFeed(store, study.Name, recipes, feedEvery, list)
	return o, err
}

// ended brings the sinks up to date and runs the hooks. Its errors do not become errors of the
// study.
func (o *outward) ended(out runner.Outcome, err error) {
	end := feedEnd
	if out.Interrupted {
		end = feedEndStopped
	}
	begun := out.Done+out.Diverged+out.Failed > 0 || out.Interrupted || errors.Is(err, runner.ErrRecord)
	r := reporter{store: o.store, study: o.study.Name, plan: o.study, warnings: io.Discard, out: io.Discard}
	var files []export.File
	if o.sinks.MLflow != "" && begun {
		var ferr error
		if files, ferr = r.files(); ferr != nil && !out.Interrupted {
			complain(o.warnings, ferr)
		}
	}
	if err := o.feed.Finish(end, files); err != nil {
		complain(o.warnings, fmt.Errorf("%w; the records are whole: ablate export sends the rest", err))
	}
	if !o.tell.Asks() || !begun {
		return
	}
	if err := o.notify(&r, out, err); err != nil {
		complain(o.warnings, err)
	}
}

// A message tells a program or a server about the end of a study.
type message struct {
	Event    string          `json:"event"` // done, failed or interrupted
	Study    string          `json:"study"`
	Host     string          `json:"host"`
	ExitCode int             `json:"exit_code"`
	Error    string          `json:"error,omitempty"`
	Runs     map[string]int  `json:"runs"`   // of this command, counted by status
	Report   json.RawMessage `json:"report"` // what ablate report --format json prints, null if there is no table yet
}

func (o *outward) notify(r *reporter, out runner.Outcome, err error) error {
	host, _ := os.Hostname() // may be empty
	m := message{
		Event: "done", Study: o.study.Name, Host: host, Report: json.RawMessage("null"),
		Runs: map[string]int{"done": out.Done, "skipped": out.Skipped, "diverged": out.Diverged, "failed": out.Failed,
			"held": out.Held},
	}
	if err != nil {
		m.Event, m.Error, m.ExitCode = "failed", err.Error(), exitCode(err)
	}
	if out.Interrupted {
		m.Event = "interrupted"
	}
	r.format = "json"
	if text, _, err := r.render(); err == nil {
		m.Report = text
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	patience, err := o.tell.Patience()
	if err != nil {
		return err
	}
	h := hook.Hook{Command: o.tell.Command, Webhook: o.tell.Webhook, Token: os.Getenv(tokenVariable), Timeout: patience,
		Output: o.warnings}
	return h.Tell(context.Background(), text)
}

package configs

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"
)

// Sinks are programs that follow a study while it is trained.
type Sinks struct {
	// a folder of TensorBoard event files
	TensorBoard string `yaml:"tensorboard" mapstructure:"tensorboard" example:"logs"`
	// the address of an MLflow tracking server
	MLflow string `yaml:"mlflow" mapstructure:"mlflow" example:"http://127.0.0.1:5000"`
}

// Or takes from other what s does not set.
func (s Sinks) Or(other Sinks) Sinks {
	return Sinks{TensorBoard: cmp.Or(s.TensorBoard, other.TensorBoard), MLflow: cmp.Or(s.MLflow, other.MLflow)}
}

// OnEnd says who is told when a study ends, fails or is interrupted.
type OnEnd struct {
	// a program and its arguments; it reads the table, and how the study ended, as JSON from its
	// standard input
	Command []string `yaml:"command" mapstructure:"command" example:"[python3, notify.py]"`
	// an address to post the same JSON to; take secret parts from the environment
	Webhook string `yaml:"webhook" mapstructure:"webhook" example:"${CHAT_WEBHOOK}"`
	// how long the program or the server may take
	Timeout string `yaml:"timeout" mapstructure:"timeout" example:"1m"`
}

// DefaultTimeout is the time for a program or a server if on_end.timeout is not set.
const DefaultTimeout = 30 * time.Second

// longestTimeout makes sure that a study ends.
const longestTimeout = time.Hour

// Asks reports whether anybody is to be told.
func (o OnEnd) Asks() bool { return len(o.Command) > 0 || o.Webhook != "" }

// Patience returns the time in Timeout, or the default.
func (o OnEnd) Patience() (time.Duration, error) {
	if o.Timeout == "" {
		return DefaultTimeout, nil
	}
	d, err := time.ParseDuration(o.Timeout)
	if err != nil || d <= 0 || d > longestTimeout {
		return 0, fmt.Errorf("on_end.timeout: %q is not a time of at most %s; write 30s or 2m", o.Timeout, longestTimeout)
	}
	return d, nil
}

// Check refuses hooks that cannot work. It does not quote the address, which may be secret.
func (o OnEnd) Check() error {
	if _, err := o.Patience(); err != nil {
		return err
	}
	if o.Webhook != "" {
		u, err := url.Parse(o.Webhook)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("on_end.webhook: want an address that begins with http:// or https://")
		}
		if u.User != nil {
			return errors.New("on_end.webhook: the address contains a password; " +
				"set ABLATE_WEBHOOK_TOKEN, which is sent as a bearer token")
		}
	}
	if len(o.Command) > 0 && o.Command[0] == "" {
		return errors.New("on_end.command: the first word, which names the program, is empty")
	}
	return nil
}

// expand replaces ${NAME} by environment variables, as in studies.
func expand(key, text string) (string, error) {
	var unset string
	full := os.Expand(text, func(name string) string {
		value, ok := os.LookupEnv(name)
		if !ok {
			unset = name
		}
		return value
	})
	if unset != "" {
		return "", fmt.Errorf("settings: %s: the environment variable %s is not set", key, unset)
	}
	return full, nil
}

// Outward returns the sinks and hooks of the settings, with the environment filled in.
func (s Settings) Outward() (Sinks, OnEnd, error) {
	sinks, tell := s.Sinks, s.OnEnd
	tell.Command = append([]string(nil), tell.Command...)
	texts := map[string]*string{
		"sinks.tensorboard": &sinks.TensorBoard, "sinks.mlflow": &sinks.MLflow, "on_end.webhook": &tell.Webhook,
	}
	for i := range tell.Command {
		texts[fmt.Sprintf("on_end.command.%d", i)] = &tell.Command[i]
	}
	for key, text := range texts {
		var err error
		if *text, err = expand(key, *text); err != nil {
			return sinks, tell, err
		}
	}
	return sinks, tell, tell.Check()
}

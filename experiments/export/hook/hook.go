// Package hook notifies a user's program or server that a study has ended.
package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"time"
)

// A Hook holds the recipients of a message, and how long delivery may take.
type Hook struct {
	Command []string // a program and its arguments, which reads the message from its standard input
	Webhook string   // an address that the message is posted to
	Token   string   // sent to the address as a bearer token, if not empty
	Timeout time.Duration
	Output  io.Writer // for the program's output, which is kept apart from the study's
}

// Tell delivers a message, which is JSON. It returns an error for each recipient that it could not reach. Errors never
// contain the address, which may be a secret.
func (h Hook) Tell(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	var errs []error
	if len(h.Command) > 0 {
		errs = append(errs, h.run(ctx, message))
	}
	if h.Webhook != "" {
		errs = append(errs, h.post(ctx, message))
	}
	return errors.Join(errs...)
}

// patience is how long a program that was told to end may keep its output open.
const patience = time.Second

func (h Hook) run(ctx context.Context, message []byte) error {
	c := exec.CommandContext(ctx, h.Command[0], h.Command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(message), h.Output, h.Output
	c.WaitDelay = patience
	switch err := c.Run(); {
	case ctx.Err() != nil:
		return fmt.Errorf("on_end.command %s: ended after %s, which is all it has", h.Command[0], h.Timeout)
	case err != nil:
		return fmt.Errorf("on_end.command %s: %w", h.Command[0], err)
	}
	return nil
}

// A server that is down or busy is tried again after a pause, which doubles.
const (
	attempts   = 4
	firstPause = 500 * time.Millisecond
)

func (h Hook) post(ctx context.Context, message []byte) error {
	pause := firstPause
	for n := 1; ; n++ {
		again, err := h.postOnce(ctx, message)
		if err == nil || !again || n == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func (h Hook) postOnce(ctx context.Context, message []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.Webhook, bytes.NewReader(message))
	if err != nil {
		return false, errors.New("on_end.webhook: the address cannot be parsed")
	}
	host := r.URL.Host
	r.Header.Set("Content-Type", "application/json")
	if h.Token != "" {
		r.Header.Set("Authorization", "Bearer "+h.Token)
	}
	answer, err := http.DefaultClient.Do(r)
	var failed *url.Error
	if errors.As(err, &failed) { // its text contains the address
		err = failed.Err
	}
	if err != nil {
		return true, fmt.Errorf("on_end.webhook at %s: %w", host, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 == 2 {
		return false, nil
	}
	again = answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500
	return again, fmt.Errorf("on_end.webhook at %s: it answers %s", host, answer.Status)
}

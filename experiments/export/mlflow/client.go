package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Errors of a server on which the caller may act.
var (
	// ErrUnavailable means that a server is down, overloaded or limits its clients. It may respond later.
	ErrUnavailable = errors.New("the MLflow server is not available")
	// ErrRefused means that a server requires other credentials.
	ErrRefused = errors.New("the MLflow server refuses the credentials")
	// ErrAddress means that the address is not that of a server.
	ErrAddress = errors.New("not the address of an MLflow server")
)

// MLflow's own variables. No other place holds a secret: an address with a password is refused.
const (
	AddressVariable  = "MLFLOW_TRACKING_URI"
	userVariable     = "MLFLOW_TRACKING_USERNAME"
	passwordVariable = "MLFLOW_TRACKING_PASSWORD"
	tokenVariable    = "MLFLOW_TRACKING_TOKEN"
)

// Limits of a request. It is abandoned after timeout, and an answer is read up to largestAnswer.
const (
	timeout       = 2 * time.Minute // MLflow's MLFLOW_HTTP_REQUEST_TIMEOUT
	attempts      = 6
	firstPause    = 500 * time.Millisecond // doubles with each attempt: 15 s in all
	longestPause  = time.Minute
	largestAnswer = 256 << 20
)

// A client uses MLflow's REST API, version 2.0.
type client struct {
	base  *url.URL
	auth  func(*http.Request)
	http  *http.Client
	sleep func(context.Context, time.Duration) error
}

// newClient makes a client from a server's address and, from the environment, its credentials.
func newClient(address string) (*client, error) {
	base, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it cannot be parsed", ErrAddress) // the error would quote a password
	case base.User != nil:
		return nil, fmt.Errorf("%w: it holds a name or a password; set %s and %s instead", ErrAddress, userVariable,
			passwordVariable)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("%w: %s; give http:// or https:// and a host, such as http://127.0.0.1:5000 of "+
			"mlflow server (its file store is out of use)", ErrAddress, address)
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	base.RawQuery, base.Fragment = "", ""
	auth := func(*http.Request) {}
	if user := os.Getenv(userVariable); user != "" {
		auth = func(r *http.Request) { r.SetBasicAuth(user, os.Getenv(passwordVariable)) }
	} else if token := os.Getenv(tokenVariable); token != "" {
		auth = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	return &client{base: base, auth: auth, http: &http.Client{Timeout: timeout}, sleep: sleep}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// An apiError is an error that MLflow explains.
type apiError struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

func (e *apiError) Error() string {
	line, _, _ := strings.Cut(e.Message, "\n")
	return fmt.Sprintf("MLflow answers %s: %.300s", e.Code, line)
}

// answered reports whether err is MLflow's error with this code.
func answered(err error, code string) bool {
	var e *apiError
	return errors.As(err, &e) && e.Code == code
}

// get reads and post writes. Both decode the answer into to, which may be nil.
func (c *client) get(ctx context.Context, path string, query url.Values, to any) error {
	return c.call(ctx, request{method: http.MethodGet, path: "/api/2.0/mlflow/" + path, query: query}, to)
}

func (c *client) post(ctx context.Context, path string, body, to any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("MLflow %s: %w", path, err)
	}
	return c.call(ctx, request{
		method: http.MethodPost, path: "/api/2.0/mlflow/" + path, kind: "application/json", size: int64(len(text)),
		body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	}, to)
}

// once is post for requests that must not be repeated: a lost answer is an error.
func (c *client) once(ctx context.Context, path string, body, to any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("MLflow %s: %w", path, err)
	}
	_, err = c.send(ctx, request{
		method: http.MethodPost, path: "/api/2.0/mlflow/" + path, kind: "application/json", size: int64(len(text)),
		body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	}, to)
	return err
}

// A request can be sent again: body reopens its content.
type request struct {
	method, path, kind string
	query              url.Values
	size               int64
	body               func() (io.ReadCloser, error)
}

// call sends a request until it is answered. Requests sent this way may arrive twice.
func (c *client) call(ctx context.Context, r request, to any) error {
	pause := firstPause
	for n := 1; ; n++ {
		wait, err := c.send(ctx, r, to)
		if err == nil || !errors.Is(err, ErrUnavailable) || n == attempts {
			return err
		}
		if err := c.sleep(ctx, min(max(pause, wait), longestPause)); err != nil {
			return err
		}
		pause *= 2
	}
}

// send sends a request once. wait is how long the server asks clients to wait before they retry.
func (c *client) send(ctx context.Context, r request, to any) (wait time.Duration, err error) {
	u := *c.base
	u.Path += r.path
	u.RawQuery = r.query.Encode()
	var body io.ReadCloser
	if r.body != nil {
		if body, err = r.body(); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return 0, err
	}
	req.ContentLength = r.size
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	c.auth(req)
	answer, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, largestAnswer+1))
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %s breaks off its answer: %w", ErrUnavailable, c.base, err)
	case len(text) > largestAnswer:
		return 0, fmt.Errorf("%s answers with more than %d bytes", c.base, largestAnswer)
	}
	if answer.StatusCode/100 != 2 {
		return retryAfter(answer), c.refusal(answer.StatusCode, text)
	}
	if to == nil {
		return 0, nil
	}
	if err := json.Unmarshal(text, to); err != nil {
		return 0, fmt.Errorf("%s: %w: its answer is no JSON: %.80q", c.base, ErrAddress, text)
	}
	return 0, nil
}

// refusal returns the error for an unsuccessful answer.
func (c *client) refusal(status int, text []byte) error {
	said := http.StatusText(status)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w: %s answers %d %s; set %s and %s, or %s", ErrRefused, c.base, status, said, userVariable,
			passwordVariable, tokenVariable)
	case status == http.StatusTooManyRequests || status >= 500:
		return fmt.Errorf("%w: %s answers %d %s", ErrUnavailable, c.base, status, said)
	}
	var e apiError
	if json.Unmarshal(text, &e) != nil || e.Code == "" {
		return fmt.Errorf("%s: %w: it answers %d %s", c.base, ErrAddress, status, said)
	}
	return &e
}

// retryAfter reads the header Retry-After, in seconds or as a date.
func retryAfter(answer *http.Response) time.Duration {
	text := answer.Header.Get("Retry-After")
	if s, err := strconv.Atoi(text); err == nil && s > 0 {
		return time.Duration(min(s, 3600)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}

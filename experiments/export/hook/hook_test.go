package hook

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// asProgram in the environment makes the test binary act as the program that a hook starts.
const asProgram = "ABLATE_TEST_HOOK"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "echo":
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			os.Exit(2)
		}
		os.Exit(0)
	case "fail":
		os.Exit(4)
	case "hang":
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

func TestCommand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	h := Hook{Command: []string{self}, Timeout: time.Minute, Output: &out}
	t.Setenv(asProgram, "echo")
	if err := h.Tell(t.Context(), []byte(`{"event": "done"}`)); err != nil || out.String() != `{"event": "done"}` {
		t.Errorf("%v, %q", err, out.String())
	}
	t.Setenv(asProgram, "fail")
	if err := h.Tell(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Error(err)
	}
	t.Setenv(asProgram, "hang")
	h.Timeout = 100 * time.Millisecond
	if err := h.Tell(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "which is all it has") {
		t.Error(err)
	}
	h.Command = []string{"no-such-program"}
	h.Timeout = time.Minute
	if err := h.Tell(t.Context(), nil); err == nil || !strings.Contains(err.Error(), exec.ErrNotFound.Error()) {
		t.Error(err)
	}
}

func TestWebhook(t *testing.T) {
	var got []string
	status := []int{503, 429, 200}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, r.Header.Get("Authorization")+" "+r.URL.Path+" "+string(body))
		w.WriteHeader(status[0])
		status = status[1:]
	}))
	defer s.Close()
	h := Hook{Webhook: s.URL + "/hidden", Token: "sesame", Timeout: time.Minute}
	if err := h.Tell(t.Context(), []byte(`{}`)); err != nil || len(got) != 3 || got[2] != "Bearer sesame /hidden {}" {
		t.Errorf("%v, %q", err, got)
	}
	status = []int{404}
	if err := h.Tell(t.Context(), nil); err == nil || strings.Contains(err.Error(), "hidden") ||
		!strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	s.Close()
	h.Timeout = 200 * time.Millisecond
	if err := h.Tell(t.Context(), nil); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Error(err)
	}
}

package external

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"ablate/recipe"
)

// SetUp runs the setup command, which precedes the first run, to its end.
func SetUp(ctx context.Context, r recipe.Trainer) error {
	printed := newTail(io.Discard)
	c := exec.Command(r.Setup[0], r.Setup[1:]...)
	c.Dir, c.Stdout, c.Stderr, c.Env = r.Dir, printed, printed, os.Environ()
	for name, value := range r.Env {
		c.Env = append(c.Env, name+"="+value)
	}
	ended := make(chan error, 1)
	p, err := start(c, defaultGrace, ended)
	if err != nil {
		return fmt.Errorf("trainer.setup: %w", err)
	}
	defer context.AfterFunc(ctx, p.terminate)()
	if err := <-ended; err != nil {
		t := trainer{tail: printed}
		return t.withOutput(fmt.Errorf("trainer.setup: %s: %w", strings.Join(r.Setup, " "), err))
	}
	return nil
}

package cmd

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/url"
	"os/exec"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/reports"
	"ablate/serve"
)

// serveFlags holds the flags of serve.
type serveFlags struct {
	addr, token string
	open, write bool
}

func newServe() *cobra.Command {
	var o serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Show all studies in a browser while they train",
		Example: `  ablate serve
  ablate serve --open
  ablate serve --runs /shared/runs --addr :8080`,
		Long: `serve shows the studies and runs of the records folder in a browser: tables with
their verdicts, curves, logs, and published figures. The pages follow what changes in
the folder, no matter which process trains. serve only reads: it writes nothing and
takes no lock, except for notes and tags with --write.

Only this machine can open the pages. If --addr is an address that others can reach,
every reader needs a token: that of --token, or one that serve makes and prints as
part of the address. The address of a page holds the choices made on it. Ctrl-C stops
the server.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			l, address, token, err := o.listen()
			if err != nil {
				return fmt.Errorf("--addr: %w", err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s shows %s; Ctrl-C stops it\n", address, store.Root)
			if o.open {
				openBrowser(c.ErrOrStderr(), address)
			}
			debug.SetGCPercent(400) // what is kept is small beside what drawing a page takes
			return newServer(store, token, o.write).Serve(c.Context(), l)
		},
	}
	c.Flags().BoolVar(&o.write, "write", false, "let readers add notes and tags")
	c.Flags().StringVar(&o.addr, "addr", usualAddress, "serve on `HOST:PORT`; port 0 chooses a free one")
	c.Flags().StringVar(&o.token, "token", "", "ask readers for `TOKEN`; serve makes one if others can reach the address")
	c.Flags().BoolVar(&o.open, "open", false, "open the page in a browser")
	return c
}

// usualAddress is the default address of the pages.
const usualAddress = "127.0.0.1:8080"

// listen opens the address and returns what a browser needs.
func (o serveFlags) listen() (l net.Listener, address, token string, err error) {
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return nil, "", "", fmt.Errorf("%s: want HOST:PORT, as in 127.0.0.1:8080", o.addr)
	}
	if l, err = net.Listen("tcp", o.addr); err != nil {
		return nil, "", "", fmt.Errorf("%w; --addr 127.0.0.1:0 chooses a free port", err)
	}
	at := l.Addr().(*net.TCPAddr)
	if token = o.token; token == "" && !at.IP.IsLoopback() {
		token = rand.Text()
	}
	if host == "" || at.IP.IsUnspecified() {
		host = "localhost"
	}
	address = "http://" + net.JoinHostPort(host, fmt.Sprint(at.Port)) + "/"
	if token != "" {
		address += "?token=" + url.QueryEscape(token)
	}
	return l, address, token, nil
}

// newServer makes a server for a store, with the tables that its studies declare.
func newServer(store *experiments.Store, token string, write bool) *serve.Server {
	table := func(study string) (reports.Options, error) {
		declared, err := declaration(store, study, nil)
		if err != nil {
			return reports.Options{}, err
		}
		return tableOptions(store, declared)
	}
	return serve.New(serve.Options{Store: store, Token: token, Write: write, Table: table})
}

// openBrowser opens an address in the user's browser, or prints a warning.
func openBrowser(warnings io.Writer, address string) {
	program := map[string][]string{
		"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"},
	}[runtime.GOOS]
	if program == nil {
		program = []string{"xdg-open"}
	}
	c := exec.CommandContext(context.Background(), program[0], append(program[1:], address)...)
	if err := c.Start(); err != nil {
		complain(warnings, fmt.Errorf("--open: %w; open the address yourself", err))
		return
	}
	go c.Wait()
}

//go:build long

package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"ablate/experiments"
)

// A browser is chromium with all messages from its pages, and all their requests to other servers.
type browser struct {
	context.Context
	t    *testing.T
	host string

	mu         sync.Mutex
	complaints []string
	expected   []string // texts that a message may contain
}

// chromium starts a browser. The test is skipped if there is none.
func chromium(t *testing.T, h *httptest.Server) *browser {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("there is no chromium: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	ctx, timeout := context.WithTimeout(ctx, 8*time.Minute)
	t.Cleanup(timeout)
	b := &browser{Context: ctx, t: t, host: strings.TrimPrefix(h.URL, "http://")}
	b.listen()
	b.do(network.Enable(), log.Enable())
	return b
}

// listen collects a page's errors.
func (b *browser) listen() {
	complain := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.ContainsFunc(b.expected, func(e string) bool { return strings.Contains(text, e) }) {
			b.complaints = append(b.complaints, text)
		}
	}
	chromedp.ListenTarget(b, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			complain("exception: %s", e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				text, _ := json.Marshal(e.Args)
				complain("console: %s", text)
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError {
				complain("log: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			u, err := url.Parse(e.Request.URL)
			if err != nil || u.Scheme != "data" && u.Scheme != "blob" && u.Host != b.host {
				complain("a request to %s", e.Request.URL)
			}
		}
	})
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// open shows a page of the server.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate("http://" + b.host + path))
}

// eval returns the value of an expression on the page.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var v any
	b.do(chromedp.Evaluate(expression, &v, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true)
	}))
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// within waits until an expression is true on the page.
func (b *browser) within(patience time.Duration, expression string) time.Duration {
	b.t.Helper()
	began := time.Now()
	for b.eval(expression) != "true" {
		if time.Since(began) > patience {
			b.t.Fatalf("%s is not true after %v; the page has %.1500s", expression, patience,
				b.eval("document.body.innerText"))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

// quiet checks that no page has logged an error.
func (b *browser) quiet(where string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("%s: %s", where, c)
	}
	b.complaints = nil
}

// rich makes a folder with something on every page: predictions, filters, times, a failed run and hostile names.
func rich(t testing.TB) string {
	root := sample(t)
	for seed := uint64(1); seed <= 2; seed++ {
		dir := filepath.Join(root, "norm", "baseline", fmt.Sprintf("seed-%d", seed))
		text := "index,label,predicted,rank,log_prob\n0,0,0,1,-0.1\n1,1,0,2,-1.5\n2,1,1,1,-0.2\n"
		if err := os.WriteFile(experiments.PredictionsPath(dir), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	like := experiments.Features{Width: 1, Values: make([]float32, 9), Label: make([]int, 9), Predicted: make([]int, 9),
		Index: []int{0, 1, 2, 3, 4, 5, 6, 7, 8}, Classes: []string{"disc"}}
	if err := like.Picture(make([]experiments.Thumbnail, 9)); err != nil {
		t.Fatal(err)
	}
	if err := experiments.SaveFeatures(filepath.Join(root, "norm", "no-lrn", "seed-6"), like); err != nil {
		t.Fatal(err)
	}
	bad := `<img src=x onerror=alert(1)> "'&` + strings.Repeat("long", 20)
	put(t, root, experiments.Record{Study: bad, Variant: "baseline", Seed: 1, Status: experiments.Done}, 0.5, 0.4)
	put(t, root, experiments.Record{Study: bad, Variant: bad, Seed: 1, Status: experiments.Failed, Error: bad}, 0.5)
	os.MkdirAll(filepath.Join(root, "norm", "baseline", "seed-9"), 0o755)
	os.WriteFile(filepath.Join(root, "norm", "baseline", "seed-9", "run.json"), []byte("{"), 0o644)
	return root
}

// pages returns the addresses of every kind of page.
func pages() map[string]string {
	bad := url.PathEscape(`<img src=x onerror=alert(1)> "'&` + strings.Repeat("long", 20))
	return map[string]string{
		"studies": "/", "study": "/study/norm", "study-hostile": "/study/" + bad,
		"study-time": "/study/norm?x=time&smooth=0.8&log=1&band=sd&show=baseline", "classes": "/study/norm/classes",
		"run": "/run/norm/no-lrn/6", "run-broken": "/run/norm/baseline/9", "run-hostile": "/run/" + bad + "/" + bad + "/1",
		"runs": "/runs", "runs-grouped": "/runs?group=variant",
		"runs-filtered": "/runs?where=status+%3D+done&sort=-top1_error&q=lrn",
		"runs-refused":  "/runs?where=train.lr+%3E",
		"compare":       "/compare?run=norm/baseline/1&run=norm/no-lrn/1",
		"compare-many":  "/compare?run=norm/baseline/1&run=norm/no-lrn/1&run=norm/no-lrn/2&run=norm/no-lrn/6",
		"ledger":        "/ledger", "ledger-search": "/ledger?q=paper",
	}
}

// Every page is opened at the widths of phones, tablets and screens, light and dark. It must log nothing to the
// console, request nothing from another server, fit the window, and keep axe-core's rules of level A and AA. ABLATE_AXE
// names axe-core's axe.min.js (npm install axe-core). ABLATE_SHOTS names a folder for screenshots.
func TestPagesInABrowser(t *testing.T) {
	h := serving(t, rich(t), "")
	b := chromium(t, h)
	axe, err := os.ReadFile(os.Getenv("ABLATE_AXE"))
	if err != nil {
		t.Log("accessibility is not checked: ABLATE_AXE names no axe.min.js")
	}
	for _, name := range sorted(pages()) {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.everyWay(name, string(axe))
		})
	}
}

// everyWay opens a page at each width in each colour scheme and checks it.
func (b *browser) everyWay(name, axe string) {
	for _, scheme := range []string{"light", "dark"} {
		b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
		}))
		for _, width := range []int64{360, 390, 1024, 1600, 2560} {
			where := fmt.Sprintf("%s-%d-%s", name, width, scheme)
			b.do(chromedp.EmulateViewport(width, 900))
			b.open(pages()[name])
			b.within(10*time.Second, "document.getElementById('live').textContent === 'live'")
			if b.eval("document.documentElement.scrollWidth > innerWidth") == "true" {
				b.t.Errorf("%s is wider than the window: %s", where, b.eval(tooWide))
			}
			if found := b.eval(overlaps); found != "" {
				b.t.Errorf("%s has words that overlap or are cut: %s", where, found)
			}
			if axe != "" && width != 360 && width != 2560 {
				b.do(chromedp.Evaluate(axe, nil))
				if found := b.eval(violations); found != "none" {
					b.t.Errorf("%s: %s", where, found)
				}
			}
			if shots := os.Getenv("ABLATE_SHOTS"); shots != "" {
				var picture []byte
				b.do(chromedp.FullScreenshot(&picture, 100))
				if err := os.WriteFile(filepath.Join(shots, where+".png"), picture, 0o644); err != nil {
					b.t.Error(err)
				}
			}
			b.quiet(where)
		}
	}
}

// tooWide lists the elements that reach beyond the window.
const tooWide = `[...document.querySelectorAll("main *, header *")].filter(e =>
	!e.closest(".scroll, svg, pre") && e.getBoundingClientRect().right > innerWidth + 1).map(e =>
	e.outerHTML.slice(0, 120)).slice(0, 4).join(" | ")`

// overlaps lists the words of a figure that lie on others, or outside of it.
const overlaps = `[...document.querySelectorAll("main svg")].flatMap(svg => {
	const frame = svg.getBoundingClientRect()
	if (frame.width === 0) return []
	const words = [...svg.querySelectorAll("text")].map(e =>
		({text: e.firstChild?.data ?? "", at: e.getBoundingClientRect()}))
	const out = words.filter(w => w.at.left < frame.left - 1 || w.at.right > frame.right + 1 || w.at.top < frame.top - 2 ||
		w.at.bottom > frame.bottom + 2).map(w => w.text + " is cut")
	const on = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
		Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.25 * Math.min(a.height, b.height)
	words.forEach((a, i) => words.slice(i + 1).filter(b => on(a.at, b.at)).forEach(b =>
		out.push(a.text + " on " + b.text)))
	return out.map(o => (svg.querySelector("title")?.textContent ?? "") + ": " + o)
}).slice(0, 6).join(" | ")`

// violations runs axe-core and lists the rules of level A and AA that are broken. It fails if few were checked.
const violations = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}).then(r =>
	r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 160) + " " + n.failureSummary).slice(0, 3)
		.join("\n")).join("\n") || (r.passes.length > 8 ? "none" : "only " + r.passes.length + " rules were looked at"))`

//go:build long

package serve

import (
	"bytes"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"ablate/experiments"
)

// words returns the text of an element of the page.
func (b *browser) words(selector string) string {
	return b.eval(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// tab moves the focus until an element has it, as a reader without a mouse does.
func (b *browser) tab(what string) {
	b.t.Helper()
	for range 200 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if b.eval(fmt.Sprintf("document.activeElement.matches(%q)", what)) == "true" {
			return
		}
	}
	b.t.Fatalf("the Tab key does not reach %s", what)
}

// Everything works by keyboard alone: from the list of studies to the values of a curve, and from a filter to a
// comparison. The resulting address shows the same in another browser.
func TestKeyboardAlone(t *testing.T) {
	h := serving(t, rich(t), "")
	b := chromium(t, h)
	b.do(chromedp.EmulateViewport(1200, 900))
	b.open("/")
	b.tab(`a[href="/study/norm"]`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.within(5*time.Second, "location.pathname === '/study/norm' && !!document.querySelector('.readout')")

	b.tab("#curves-drawn .chart")
	b.do(chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight))
	if got := b.words("#curves-drawn .readout"); !strings.HasPrefix(got, "baseline, epoch 2: 30") {
		t.Errorf("the second point of the first curve is told as %q", got)
	}
	b.do(chromedp.KeyEvent(kb.ArrowDown))
	if got := b.words("#curves-drawn .readout"); !strings.HasPrefix(got, "no-lrn, epoch 2: 40") {
		t.Errorf("the other curve there is told as %q", got)
	}

	b.open("/runs")
	b.tab("input[name=where]")
	b.do(chromedp.KeyEvent("variant = no-lrn"), chromedp.KeyEvent(kb.Enter))
	b.within(5*time.Second, `document.querySelector("#rows .caption").innerText.startsWith("6 of 15 runs")`)
	b.tab(`#rows thead a[href*="sort=top1_error"]`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.within(5*time.Second, `document.querySelector("#rows thead [aria-sort=ascending]")?.innerText.startsWith("top-1")`)
	b.do(chromedp.KeyEvent(kb.Enter)) // the focus is where it was
	b.within(5*time.Second, `document.querySelector("#rows thead [aria-sort=descending]")?.innerText.startsWith("top-1")`)
	if first := b.words("#rows tbody th"); first != "norm/no-lrn/5" {
		t.Errorf("the largest error comes first, not %s", first)
	}

	other := chromium(t, h)
	other.open(strings.TrimPrefix(b.eval("location.href"), h.URL))
	if mine, theirs := b.words("#rows"), other.words("#rows"); mine != theirs {
		t.Errorf("the address shows another browser\n%s\nand this one\n%s", theirs, mine)
	}

	b.tab(`input[value="norm/no-lrn/5"]`)
	b.do(chromedp.KeyEvent(" "))
	b.tab(`input[value="norm/no-lrn/1"]`)
	b.do(chromedp.KeyEvent(" "))
	b.tab("#pick button")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.within(5*time.Second, "location.pathname === '/compare'")
	for _, w := range []string{"norm/no-lrn/5", "result.top1_error", "0.31", "0.302"} {
		if text := b.words("main"); !strings.Contains(text, w) {
			t.Errorf("the comparison lacks %s: %s", w, text)
		}
	}
	b.quiet("by keyboard")
}

// A reader's choices change the page and its address, and going back restores the earlier page.
func TestControls(t *testing.T) {
	h := serving(t, rich(t), "")
	b := chromium(t, h)
	b.open("/study/norm")
	b.do(chromedp.SetValue("select[name=x]", "time"))
	b.eval(`document.querySelector("select[name=x]").dispatchEvent(new Event("change", {bubbles: true}))`)
	b.within(5*time.Second, `document.querySelector("#curves-drawn").textContent.includes("seconds of training")`)
	b.within(time.Second, `location.search === "?x=time"`)
	b.do(chromedp.Click("#choose-variants summary"), chromedp.Click(`input[name=show][value=no-lrn]`))
	b.within(5*time.Second, `!document.querySelector("#table tbody").innerText.includes("no-lrn")`)
	b.within(5*time.Second, `location.search.includes("show=baseline") && document.querySelector("#choose-variants").open`)
	b.do(chromedp.NavigateBack())
	b.within(5*time.Second, `location.search === "?x=time" &&
		!!document.querySelector("#table tbody")?.innerText.includes("no-lrn")`)

	dir := t.TempDir()
	b.do(cdpbrowser.SetDownloadBehavior(cdpbrowser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(dir),
		chromedp.Click("#curves-drawn button[data-png]"))
	path := filepath.Join(dir, "norm-curves.png")
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil && bytes.HasPrefix(text, []byte("\x89PNG")) && len(text) > 5000 {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the figure was not saved as PNG")
		}
	}
	b.quiet("controls")
}

// program builds ablate, once for the tests of this package.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ablate")
	if out, err := exec.Command("go", "build", "-o", path, "ablate").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// start runs a program until the test ends or stop is called.
func start(t *testing.T, path string, args ...string) (stop func()) {
	t.Helper()
	c := exec.Command(path, args...)
	c.Dir = t.TempDir()
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	stop = func() {
		c.Process.Kill()
		<-ended
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s: %s", strings.Join(args, " "), said.String())
		}
	})
	return stop
}

// On a wide screen the figures of a study stand in pairs. The runs stood to the right of an empty half.
func TestPairsWhereWide(t *testing.T) {
	b := chromium(t, serving(t, rich(t), ""))
	b.do(chromedp.EmulateViewport(1600, 900))
	b.open("/study/norm")
	for left, right := range map[string]string{"#differences": "#grid", "#curves": "#speed"} {
		if got := b.eval(fmt.Sprintf(`(() => {
			const [l, r] = [%q, %q].map(s => document.querySelector(s).getBoundingClientRect())
			return l.top === r.top && l.right < r.left })()`, left, right)); got != "true" {
			t.Errorf("%s is not to the right of %s", right, left)
		}
	}
}

// freeAddress returns an address of this machine on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// reachable waits until a server listens on an address.
func reachable(t *testing.T, address string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the server does not begin")
		}
	}
}

// A real study trains while its page is open: the page shows it waiting, running and done, and outlives the server.
func TestFollowsARealRun(t *testing.T) {
	ablate := program(t)
	address := freeAddress(t)
	runs := filepath.Join(t.TempDir(), "runs")
	serve := []string{"serve", "--runs", runs, "--addr", address}
	stop := start(t, ablate, serve...)
	b := chromium(t, &httptest.Server{URL: "http://" + address})
	b.expected = []string{"ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET",
		"ERR_EMPTY_RESPONSE"}
	reachable(t, address)
	b.open("/")
	b.within(10*time.Second, `document.body.innerText.includes("There are no studies")`)
	start(t, ablate, "run", "quickstart", "--runs", runs, "--variants", "no-lrn", "--seeds", "1", "--threads", "1",
		"--set", "train.epochs=30")
	b.within(60*time.Second, `document.querySelector(".study .running")?.innerText === "1 running"`)
	b.open("/study/quickstart")
	b.within(60*time.Second, `/\d+\/30 running/.test(document.querySelector("#grid").innerText)`)
	b.within(60*time.Second, `document.querySelectorAll("#curves-drawn .wide .hover").length > 1`)

	stop()
	b.within(20*time.Second, `document.getElementById("live").textContent === "waiting for the server"`)
	start(t, ablate, serve...)
	b.within(30*time.Second, `document.getElementById("live").textContent === "live"`)
	before := b.words("#grid")
	b.within(60*time.Second, fmt.Sprintf("document.querySelector('#grid').innerText !== %q", before))
	b.quiet("while a run trains")
}

// TestLatency measures how long an open page takes to show a line written to a log. It prints the time and does not
// assert it.
func TestLatency(t *testing.T) {
	root := sample(t)
	h := serving(t, root, "")
	b := chromium(t, h)
	b.open("/run/norm/no-lrn/6")
	b.within(10*time.Second, "document.getElementById('live').textContent === 'live'")
	path := experiments.MetricsPath(filepath.Join(root, "norm", "no-lrn", "seed-6"))
	for epoch := 3; epoch <= 4; epoch++ {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, line(epoch, 0.3))
		f.Close()
		took := b.within(10*time.Second, fmt.Sprintf(`document.body.innerText.includes("epoch %d of 4")`, epoch))
		t.Logf("a line of the log is on the page after %v", took)
	}
	b.quiet("latency")
}

// A printed page has no controls, and all of it fits the sheet.
func TestOnPaper(t *testing.T) {
	h := serving(t, rich(t), "")
	b := chromium(t, h)
	b.do(emulation.SetEmulatedMedia().WithMedia("print"), chromedp.EmulateViewport(1000, 700))
	for _, name := range []string{"study", "run", "runs", "compare", "ledger"} {
		b.open(pages()[name])
		for what, expression := range map[string]string{
			"controls": `[...document.querySelectorAll("header.bar, .controls, .save, button:not(.sort), nav")].filter(e =>
				e.getBoundingClientRect().height > 0).map(e => e.outerHTML.slice(0, 80)).join(" | ")`,
			"what is wider than the sheet": `document.documentElement.scrollWidth > innerWidth ? "the page" : ""`,
		} {
			if found := b.eval(expression); found != "" {
				t.Errorf("%s on paper has %s: %s", name, what, found)
			}
		}
	}
}

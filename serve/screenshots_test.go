//go:build long

package serve

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestScreenshots writes the pictures of docs/serving.md. `just screenshots` trains the study that they show;
// ABLATE_SCREENSHOTS names the folder to write to, ABLATE_RUNS the records.
func TestScreenshots(t *testing.T) {
	to := os.Getenv("ABLATE_SCREENSHOTS")
	if to == "" {
		t.Skip("ABLATE_SCREENSHOTS names no folder")
	}
	address := freeAddress(t)
	start(t, program(t), "serve", "--runs", os.Getenv("ABLATE_RUNS"), "--addr", address)
	b := chromium(t, &httptest.Server{URL: "http://" + address})
	reachable(t, address)
	columns := "?col=changed&col=error&col=delta&col=p&col=verdict"
	for _, shot := range []struct {
		name, path, scheme, from string
		width, height            int64
	}{
		{"study", "/study/quickstart" + columns, "light", "h1", 1560, 1180},
		{"run", "/run/quickstart/baseline/1", "dark", "#filters-drawn", 700, 780},
	} {
		b.do(chromedp.EmulateViewport(shot.width, shot.height), emulation.SetEmulatedMedia().WithFeatures(
			[]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.scheme}}))
		b.open(shot.path)
		b.within(20*time.Second, "document.getElementById('live').textContent === 'live'")
		b.eval("document.querySelector('" + shot.from + "').scrollIntoView()")
		picture, err := screenshot(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, "serve-"+shot.name+".webp"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.quiet("screenshots")
}

// screenshot returns what the window shows, as a small file.
func screenshot(b *browser) (picture []byte, err error) {
	err = chromedp.Run(b, chromedp.ActionFunc(func(ctx context.Context) error {
		picture, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatWebp).WithQuality(80).Do(ctx)
		return err
	}))
	return picture, err
}

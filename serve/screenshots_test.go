//go:build long

package serve

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"ablate/experiments"
)

// TestScreenshots writes the pictures of docs/serving.md. `just screenshots` trains the study that they show;
// ABLATE_SCREENSHOTS names the folder to write to, ABLATE_RUNS the records.
func TestScreenshots(t *testing.T) {
	to := os.Getenv("ABLATE_SCREENSHOTS")
	if to == "" {
		t.Skip("ABLATE_SCREENSHOTS names no folder")
	}
	if _, err := experiments.Open(os.Getenv("ABLATE_RUNS")); err != nil {
		t.Fatal(err)
	}
	b := chromium(t, serving(t, os.Getenv("ABLATE_RUNS"), ""))
	for _, shot := range []struct {
		name, path, scheme, from string
		height                   int64
	}{
		{"study", "/study/quickstart", "light", "h1", 1000},
		{"neighbours", "/run/quickstart/baseline/1", "dark", "#filters-drawn", 900},
	} {
		b.do(chromedp.EmulateViewport(1200, shot.height), emulation.SetEmulatedMedia().WithFeatures(
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

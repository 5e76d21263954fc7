//go:build amd64 && !noasm

package cpu

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The CPU and Linux report the same cache sizes.
func TestCacheSizes(t *testing.T) {
	for name, got := range map[string]int{"index0": firstLevel, "index2": secondLevel} {
		text, err := os.ReadFile("/sys/devices/system/cpu/cpu0/cache/" + name + "/size")
		kib, ok := strings.CutSuffix(strings.TrimSpace(string(text)), "K")
		if err != nil || !ok {
			t.Skip("this system does not say")
		}
		if want, err := strconv.Atoi(kib); err != nil || got != want<<10 {
			t.Errorf("%s: %d bytes, Linux has %s KiB", name, got, kib)
		}
	}
}

package cpu

import (
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns n values that end (or, if first, begin) at an inaccessible page: reading or writing
// outside them ends the test with a fault.
func guarded(t testing.TB, n int, first bool) []float32 {
	t.Helper()
	page := syscall.Getpagesize()
	room := (4*n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, room+2*page, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(mem) })
	for _, guard := range [][]byte{mem[:page], mem[page+room:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	off := page
	if !first {
		off += room - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&mem[off:][:1:1][0])), n)
}

package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugeBlock is the size from which a block asks for huge pages.
const hugeBlock = 4 << 20

// hugePages asks the system for pages of 2 MiB. Kernels read matrices at strides of a page or more,
// and with pages of 4 KiB every row costs a walk through the page tables. The system may ignore the
// request.
func hugePages(block []float32) {
	if 4*len(block) < hugeBlock {
		return
	}
	page := uintptr(unix.Getpagesize())
	start := unsafe.Pointer(unsafe.SliceData(block))
	skip := -uintptr(start) & (page - 1)
	n := (4*uintptr(len(block)) - skip) &^ (page - 1)
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(start, skip)), n), unix.MADV_HUGEPAGE)
}

package fake

import "syscall"

// threadID returns the number of the calling thread: a context is current on a thread.
func threadID() int { return syscall.Gettid() }

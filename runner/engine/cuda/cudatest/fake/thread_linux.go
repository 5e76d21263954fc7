package fake

import "syscall"

// threadID is the calling thread's: a context is current on a thread.
func threadID() int { return syscall.Gettid() }

package external

import "syscall"

// dieWithParent has the kernel kill the program when ablate is killed: it would go on
// writing into a run that the next ablate continues.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

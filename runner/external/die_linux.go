package external

import "syscall"

// dieWithParent makes the kernel kill the program when ablate is killed: otherwise the program
// would go on writing into a run that the next ablate continues.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

package index

import "io/fs"

// fileNumber returns nothing useful, since Windows does not report the number by name.
func fileNumber(fs.FileInfo) uint64 { return 0 }

package imagefiles

import "ablate/runner/random"

// Mix gives a split's files in the order in which data sets keep them: always
// the same, but with the classes mixed, so that the first n files are a sample
// of all classes. 2012 is as good a seed as any.
func Mix(split string, files []File) []File {
	mixed := make([]File, len(files))
	for to, from := range random.New(2012, "data/mix/"+split).Perm(0, len(files)) {
		mixed[to] = files[from]
	}
	return mixed
}

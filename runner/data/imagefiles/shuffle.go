package imagefiles

import "ablate/runner/random"

// Shuffle returns a split's files in the order in which data sets keep them. The order is always
// the same, with the classes mixed, so that the first n files are a sample of all classes. 2012 is
// as good a seed as any.
func Shuffle(split string, files []File) []File {
	shuffled := make([]File, len(files))
	for to, from := range random.New(2012, "data/mix/"+split).Perm(0, len(files)) {
		shuffled[to] = files[from]
	}
	return shuffled
}

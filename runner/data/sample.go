package data

// Sample returns a data set that tests only n of the test images, spread evenly over their order, and their places in
// it. If there are no more than n, it has all of them.
func (ds *Dataset) Sample(n int) (*Dataset, []int, error) {
	all, size := ds.Test.Len(), ds.Shape.Len()
	n = min(n, all)
	places := make([]int, n)
	test := Split{Images: make([]byte, 0, n*size), Labels: make([]int32, n)}
	buf := ds.Test.buffer(size)
	for i := range places {
		places[i] = i * all / n
		image, err := ds.Test.Image(places[i], size, buf)
		if err != nil {
			return nil, nil, err
		}
		test.Images, test.Labels[i] = append(test.Images, image...), ds.Test.Labels[places[i]]
	}
	part := *ds
	part.Test, part.closer = test, nil
	return &part, places, nil
}

// Thumbnail returns test image i in RGB, at most side pixels wide and high. Larger images are reduced by a whole
// number, and each pixel is then the mean of those that it replaces.
func (ds *Dataset) Thumbnail(i, side int) (rgb []byte, width, height int, err error) {
	shape := ds.Shape
	image, err := ds.Test.Image(i, shape.Len(), ds.Test.buffer(shape.Len()))
	if err != nil {
		return nil, 0, 0, err
	}
	by := max(1, (max(shape.Width, shape.Height)+side-1)/side)
	width, height = max(1, shape.Width/by), max(1, shape.Height/by)
	for y := range height {
		for x := range width {
			for c := range 3 {
				sum, n := 0, 0
				for v := y * by; v < min((y+1)*by, shape.Height); v++ {
					for u := x * by; u < min((x+1)*by, shape.Width); u++ {
						sum += int(image[(v*shape.Width+u)*shape.Channels+min(c, shape.Channels-1)])
						n++
					}
				}
				rgb = append(rgb, byte((sum+n/2)/n))
			}
		}
	}
	return rgb, width, height, nil
}

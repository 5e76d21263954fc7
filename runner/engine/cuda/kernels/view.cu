// Images of bytes become the net's input on the device: a quarter of the bytes
// cross the bus. The arithmetic is runner/data's, value for value.

// View says how an image of the batch is shown, package input's View.
struct View {
    int top, left;
    bool flip, shifted;
    float scale, shift[3];
};

static_assert(sizeof(View) == 28, "input.ViewLen");

// out = (pixel − mean [+ shift])·scale of the view's cut, 0 outside the image.
// mean is an image; its cut starts at the view's place or, with mean_fixed, at
// (mean_top, mean_left). n values of out.
extern "C" __global__ void views(const unsigned char *images, const float *mean, const View *view, float *out, int n,
                                 int height, int width, int channels, int crop_height, int crop_width, int mean_fixed,
                                 int mean_top, int mean_left) {
    int i = element();
    if (i >= n) return;
    int c = i % channels, x = i / channels % crop_width, y = i / (channels * crop_width) % crop_height;
    int image = i / (channels * crop_width * crop_height);
    View v = view[image];
    if (v.flip) x = crop_width - 1 - x;
    int sy = v.top + y, sx = v.left + x;
    if (sy < 0 || sy >= height || sx < 0 || sx >= width) {
        out[i] = 0;
        return;
    }
    int my = mean_fixed ? mean_top + y : sy, mx = mean_fixed ? mean_left + x : sx;
    float value = images[(((u64)image * height + sy) * width + sx) * channels + c] - mean[(my * width + mx) * channels + c];
    if (v.shifted) value += v.shift[c];
    out[i] = value * v.scale;
}

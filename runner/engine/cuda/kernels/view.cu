// Images of bytes become the net's input on the device: a quarter of the bytes
// cross the bus. The arithmetic is runner/data's, value for value.

// View says how an image of the batch is shown, package input's View.
struct View {
    int top, left;
    bool flip, shifted;
    float scale, shift[3];
};

static_assert(sizeof(View) == 28, "input.ViewLen");

// A Cut is of height × width × channels, out of images of from_height × from_width.
struct Cut {
    Divisor height, width, channels;
    int from_height, from_width, mean_fixed, mean_top, mean_left;
};

// out = (pixel − mean [+ shift])·scale of the view's cut, 0 outside the image.
// mean is an image; its cut starts at the view's place or, with mean_fixed, at
// (mean_top, mean_left). n values of out.
extern "C" __global__ void views(const unsigned char *images, const float *mean, const View *view, float *out, int n, Cut cut) {
    int i = element();
    if (i >= n) return;
    int c = i % cut.channels, at = i / cut.channels, line = at / cut.width;
    int x = at % cut.width, y = line % cut.height, image = line / cut.height;
    const View &v = view[image];
    if (v.flip) x = cut.width - 1 - x;
    int sy = v.top + y, sx = v.left + x;
    if (sy < 0 || sy >= cut.from_height || sx < 0 || sx >= cut.from_width) {
        out[i] = 0;
        return;
    }
    int my = cut.mean_fixed ? cut.mean_top + y : sy, mx = cut.mean_fixed ? cut.mean_left + x : sx;
    float value = images[(((u64)image * cut.from_height + sy) * cut.from_width + sx) * cut.channels + c] -
                  mean[(my * cut.from_width + mx) * cut.channels + c];
    if (v.shifted) value += v.shift[c];
    out[i] = value * v.scale;
}

// What convolutions, pooling and the gradients that gather from windows share. Like
// prelude.cu it stands before every source.

// Window is graph.Window: a convolution's or a pooling layer's geometry. in and out are the channels of a group.
struct Window {
    Divisor ih, iw, ic, oh, ow, oc, in, out, kernel, stride;
    int top, left, groups;
};

enum { MAX, AVERAGE, BOTH };

// Cells are the cells of one channel that a window covers inside the image.
struct Cells {
    const real *x; // of the image, at the channel
    int top, bottom, left, right, width, channels;
    int y0, x0, kernel; // where the window starts, perhaps outside, and its side
    __device__ int area() const { return (bottom - top) * (right - left); }
    __device__ int first() const { return (top * width + left) * channels; }
};

// each calls f for every cell, row by row, with its number in the window and its index in the image.
template <class F> static __device__ void each(const Cells &c, F f) {
    for (int y = c.top; y < c.bottom; y++) {
        int cell = (y - c.y0) * c.kernel + c.left - c.x0, at = (y * c.width + c.left) * c.channels;
        for (int x = c.left; x < c.right; x++, cell++, at += c.channels) f(cell, at);
    }
}

// pixel takes an index apart: i is ((image·height + y)·width + x)·channels + channel.
struct Pixel {
    int image, y, x, channel;
};

static __device__ Pixel pixel(int i, const Divisor &height, const Divisor &width, const Divisor &channels) {
    Pixel p;
    p.channel = i % channels, i = i / channels;
    p.x = i % width, i = i / width;
    p.y = i % height, p.image = i / height;
    return p;
}

static __device__ Cells cells(const Window &w, const real *x, int image, int oy, int ox, int channel) {
    Cells c;
    c.x = x + (u64)image * w.ih * w.iw * w.ic + channel;
    c.y0 = oy * w.stride - w.top, c.x0 = ox * w.stride - w.left, c.kernel = w.kernel;
    c.top = most(c.y0, 0), c.bottom = least(c.y0 + w.kernel, w.ih);
    c.left = most(c.x0, 0), c.right = least(c.x0 + w.kernel, w.iw);
    c.width = w.iw, c.channels = w.ic;
    return c;
}

// A pick is the number of a cell in its window, or NONE.
#define NONE 0xffff

static __device__ void load_picks(int (&cell)[1], const u16 *picks) { cell[0] = *picks; }
static __device__ void load_picks(int (&cell)[4], const u16 *picks) {
    ushort4 q = *(const ushort4 *)picks;
    cell[0] = q.x, cell[1] = q.y, cell[2] = q.z, cell[3] = q.w;
}

// Outputs whose windows hold an input of a coordinate: from is the first, to behind the last.
static __device__ void holders(int at, int pad, int kernel, const Divisor &stride, int outputs, int *from, int *to) {
    int last = at + pad, first = last - kernel + 1;
    *from = first <= 0 ? 0 : (first + stride - 1) / stride;
    *to = least(last / stride + 1, outputs);
}

// handed_down is what input i gets from the windows that hold it: the gradients of
// those that picked it (MAX), its share of their means (AVERAGE), or both. x is
// not read, and its place does not matter.
template <int N> static __device__ void handed_down(float (&sum)[N], const u16 *picks, const real *dy, int i, int kind, const Window &w) {
    float d[N];
    for (int j = 0; j < N; j++) sum[j] = 0;
    Pixel p = pixel(i, w.ih, w.iw, w.ic);
    int y0, y1, x0, x1;
    holders(p.y, w.top, w.kernel, w.stride, w.oh, &y0, &y1);
    holders(p.x, w.left, w.kernel, w.stride, w.ow, &x0, &x1);
    for (int oy = y0; oy < y1; oy++)
        for (int ox = x0; ox < x1; ox++) {
            int o = ((p.image * w.oh + oy) * w.ow + ox) * w.oc + p.channel;
            load(d, dy + o);
            if (kind != MAX) {
                float share = 1.0f / cells(w, nullptr, p.image, oy, ox, p.channel).area();
                for (int j = 0; j < N; j++) sum[j] += d[j] * share;
            }
            if (kind != AVERAGE) {
                int pick[N], own = (p.y + w.top - oy * w.stride) * w.kernel + p.x + w.left - ox * w.stride;
                load_picks(pick, picks + o);
                for (int j = 0; j < N; j++)
                    if (pick[j] == own) sum[j] += d[j];
            }
        }
}

// Pooling. Forward a thread has one output, backward one input, which gathers
// from the windows that hold it: so nothing is added atomically and every sum
// runs over the windows in row-major order. Windows overlap in the L1 cache; from
// DRAM each operand comes once. AlexNet's pool1 at batch 256 reads 297 MB and
// writes 72 MB: 0.08 ms forward at 4.8 TB/s, 0.15 ms backward.

enum { MAX, AVERAGE, BOTH };

// Cells are the cells of one channel that a window covers inside the image.
struct Cells {
    const float *x; // of the image, at the channel
    int top, bottom, left, right, width, channels;
    __device__ int area() const { return (bottom - top) * (right - left); }
    __device__ int index(int y, int x) const { return (y * width + x) * channels; }
};

// pixel takes an index apart: i is ((image·height + y)·width + x)·channels + channel.
struct Pixel {
    int image, y, x, channel;
};

static __device__ Pixel pixel(int i, int height, int width, int channels) {
    Pixel p;
    p.channel = i % channels, i /= channels;
    p.x = i % width, i /= width;
    p.y = i % height, p.image = i / height;
    return p;
}

static __device__ Cells cells(const Window &w, const float *x, int image, int oy, int ox, int channel) {
    Cells c;
    c.x = x + (u64)image * w.ih * w.iw * w.ic + channel;
    int y0 = oy * w.stride - w.top, x0 = ox * w.stride - w.left;
    c.top = most(y0, 0), c.bottom = least(y0 + w.kernel, w.ih);
    c.left = most(x0, 0), c.right = least(x0 + w.kernel, w.iw);
    c.width = w.iw, c.channels = w.ic;
    return c;
}

#define EACH_CELL(c, y, i)                                                                                             \
    for (int y = (c).top; y < (c).bottom; y++)                                                                         \
        for (int i = (c).index(y, (c).left), end = (c).index(y, (c).right); i < end; i += (c).channels)

// first_largest is the index in the image of the first largest cell.
static __device__ int first_largest(const Cells &c) {
    int best = c.index(c.top, c.left);
    EACH_CELL(c, y, i) if (c.x[i] > c.x[best]) best = i;
    return best;
}

extern "C" __global__ void pool(const float *x, float *y, int n, int kind, Window w) {
    int i = element();
    if (i >= n) return;
    Pixel p = pixel(i, w.oh, w.ow, w.oc);
    Cells c = cells(w, x, p.image, p.y, p.x, p.channel);
    float top = c.x[c.index(c.top, c.left)], sum = 0;
    EACH_CELL(c, row, at) {
        float v = c.x[at];
        if (v > top || v != v) top = v; // a NaN stays: nothing is greater than it
        sum += v;
    }
    float mean = sum / c.area();
    y[i] = kind == MAX ? top : kind == AVERAGE ? mean : top + mean;
}

// Outputs whose windows hold an input of a coordinate: from is the first, to behind the last.
static __device__ void holders(int at, int pad, int kernel, int stride, int outputs, int *from, int *to) {
    int last = at + pad, first = last - kernel + 1;
    *from = first <= 0 ? 0 : (first + stride - 1) / stride;
    *to = least(last / stride + 1, outputs);
}

// gathers is Σ f(output) over the windows that hold input i.
template <class F> static __device__ float gather(const Window &w, int i, F f) {
    Pixel p = pixel(i, w.ih, w.iw, w.ic);
    int y0, y1, x0, x1;
    holders(p.y, w.top, w.kernel, w.stride, w.oh, &y0, &y1);
    holders(p.x, w.left, w.kernel, w.stride, w.ow, &x0, &x1);
    float sum = 0;
    for (int oy = y0; oy < y1; oy++)
        for (int ox = x0; ox < x1; ox++) sum += f(p, oy, ox, ((p.image * w.oh + oy) * w.ow + ox) * w.oc + p.channel);
    return sum;
}

// Of equal maxima the first in row-major order gets the gradient. mask: see dropout.
extern "C" __global__ void maxpool_grad(const float *x, const float *y, const float *dy, float *dx, const float *mask,
                                        int n, Window w) {
    int i = element();
    if (i >= n) return;
    float own = x[i];
    dx[i] = mask && !(mask[i] > 0) ? 0 : gather(w, i, [&](const Pixel &p, int oy, int ox, int o) {
        if (own != y[o]) return 0.0f;
        Cells c = cells(w, x, p.image, oy, ox, p.channel);
        int self = c.index(p.y, p.x);
        EACH_CELL(c, row, at) {
            if (at >= self) return dy[o];
            if (c.x[at] == own) return 0.0f;
        }
        return 0.0f;
    });
}

extern "C" __global__ void avgpool_grad(const float *dy, float *dx, const float *mask, int n, Window w) {
    int i = element();
    if (i >= n) return;
    dx[i] = mask && !(mask[i] > 0) ? 0 : gather(w, i, [&](const Pixel &p, int oy, int ox, int o) {
        return dy[o] / cells(w, dx, p.image, oy, ox, p.channel).area();
    });
}

// picks stores which cell of its image each window's maximum is.
extern "C" __global__ void maxpool_picks(const float *x, int *picks, int n, Window w) {
    int i = element();
    if (i >= n) return;
    Pixel p = pixel(i, w.oh, w.ow, w.oc);
    picks[i] = first_largest(cells(w, x, p.image, p.y, p.x, p.channel));
}

// dx = what the windows that picked the input hand down; with mean, also its share of their means.
extern "C" __global__ void picked_grad(const int *picks, const float *dy, float *dx, int n, int mean, Window w) {
    int i = element();
    if (i >= n) return;
    dx[i] = gather(w, i, [&](const Pixel &p, int oy, int ox, int o) {
        float share = mean ? dy[o] / cells(w, dx, p.image, oy, ox, p.channel).area() : 0;
        return picks[o] == (p.y * w.iw + p.x) * w.ic ? share + dy[o] : share;
    });
}

// Takes one activation of each window, drawn in proportion to max(x, 0), and
// stores it or, with picks, which it was (−1 if none is above 0). Without draw,
// stores their mean under the same proportions. In float64, as the CPU: the
// same activation is picked.
extern "C" __global__ void stochasticpool(const float *x, float *y, int *picks, const Step *step, int n, int slot,
                                          int draw, Part part, Window w) {
    int i = element();
    if (i >= n) return;
    Pixel p = pixel(i, w.oh, w.ow, w.oc);
    Cells c = cells(w, x, p.image, p.y, p.x, p.channel);
    double sum = 0, squares = 0;
    EACH_CELL(c, row, at) {
        double v = c.x[at] > 0 ? c.x[at] : 0;
        sum += v, squares += v * v;
    }
    int picked = -1;
    if (draw && sum > 0) {
        u32 word = random_word(stream(step, slot), step->step, place(part, i));
        double choice = word / 4294967296.0 * sum, reached = 0;
        bool done = false;
        EACH_CELL(c, row, at) {
            if (done || !(c.x[at] > 0)) continue;
            reached += c.x[at], picked = at;
            done = reached > choice;
        }
    }
    if (picks)
        picks[i] = picked;
    else
        y[i] = picked >= 0 ? c.x[picked] : sum > 0 ? (float)(squares / sum) : 0;
}

// Pyramid: a grid of so many cells a side divides the whole map, see
// graph.PyramidCell. n outputs of this grid, which starts at value first of an
// image's outs.
struct Grid {
    int height, width, channels, side, first, outs;
};

static __device__ Cells grid_cell(const Grid &g, const float *x, int image, int cell, int channel) {
    Cells c;
    int row = cell / g.side, col = cell % g.side;
    c.x = x + (u64)image * g.height * g.width * g.channels + channel;
    c.top = row * g.height / g.side, c.bottom = ((row + 1) * g.height + g.side - 1) / g.side;
    c.left = col * g.width / g.side, c.right = ((col + 1) * g.width + g.side - 1) / g.side;
    c.width = g.width, c.channels = g.channels;
    return c;
}

// With picks, stores which cell of the image each maximum is.
extern "C" __global__ void pyramid(const float *x, float *y, int *picks, int n, Grid g) {
    int i = element();
    if (i >= n) return;
    int area = g.side * g.side, channel = i % g.channels, cell = i / g.channels % area, image = i / g.channels / area;
    Cells c = grid_cell(g, x, image, cell, channel);
    int best = first_largest(c);
    if (picks)
        picks[i] = best;
    else
        y[(u64)image * g.outs + g.first + cell * g.channels + channel] = c.x[best];
}

// dx gets one grid's gradients, added to what is there unless the grid is the first.
extern "C" __global__ void pyramid_grad(const int *picks, const float *dy, float *dx, int n, Grid g) {
    int i = element();
    if (i >= n) return;
    Pixel p = pixel(i, g.height, g.width, g.channels);
    float sum = g.first ? dx[i] : 0;
    int self = (p.y * g.width + p.x) * g.channels, area = g.side * g.side;
    for (int cell = 0; cell < area; cell++) {
        int own = cell * g.channels + p.channel;
        if (picks[p.image * area * g.channels + own] == self) sum += dy[(u64)p.image * g.outs + g.first + own];
    }
    dx[i] = sum;
}

// Pooling. Forward a thread has one output, backward one input, which gathers
// from the windows that hold it: so nothing is added atomically and every sum
// runs over the windows in row-major order. Channels that come in fours are taken
// four at a time. Windows overlap in the L1 cache; from DRAM each operand comes
// once. AlexNet's pool1 at batch 256 reads 297 MB and writes 72 MB: 0.08 ms
// forward at 4.8 TB/s. Backward the cells that were picked are found first, two
// bytes an output, so that neither x nor y is read again for every window that
// holds an input: 333 MB, then 108 MB and the 297 MB that are written, 0.15 ms.

template <int N> static __device__ void pool_at(const real *x, real *y, int i, int kind, const Window &w) {
    Pixel p = pixel(i, w.oh, w.ow, w.oc);
    Cells c = cells(w, x, p.image, p.y, p.x, p.channel);
    float top[N], sum[N] = {};
    load(top, c.x + c.first());
    each(c, [&](int, int at) {
        float v[N];
        load(v, c.x + at);
        for (int j = 0; j < N; j++) {
            if (v[j] > top[j] || v[j] != v[j]) top[j] = v[j]; // a NaN stays: nothing is greater than it
            sum[j] += v[j];
        }
    });
    if (kind != MAX)
        for (int j = 0; j < N; j++) top[j] = (kind == BOTH ? top[j] : 0) + sum[j] / c.area();
    store(y + i, top);
}

// n outputs; wide: channels come in fours, and the addresses allow it.
extern "C" __global__ void pool(const real *x, real *y, int n, int wide, int kind, Window w) {
    int i = wide ? quad() : element();
    if (i >= n) return;
    if (wide)
        pool_at<4>(x, y, i, kind, w);
    else
        pool_at<1>(x, y, i, kind, w);
}

static __device__ void store_picks(u16 *picks, const int (&cell)[1]) { *picks = (u16)cell[0]; }
static __device__ void store_picks(u16 *picks, const int (&cell)[4]) {
    *(ushort4 *)picks = make_ushort4((u16)cell[0], (u16)cell[1], (u16)cell[2], (u16)cell[3]);
}
// Of equal maxima the first in row-major order is picked.
template <int N> static __device__ void pick_at(const real *x, u16 *picks, int i, const Window &w) {
    Pixel p = pixel(i, w.oh, w.ow, w.oc);
    Cells c = cells(w, x, p.image, p.y, p.x, p.channel);
    float top[N];
    int best[N];
    load(top, c.x + c.first());
    for (int j = 0; j < N; j++) best[j] = (c.top - c.y0) * c.kernel + c.left - c.x0;
    each(c, [&](int cell, int at) {
        float v[N];
        load(v, c.x + at);
        for (int j = 0; j < N; j++)
            if (v[j] > top[j]) top[j] = v[j], best[j] = cell;
    });
    store_picks(picks + i, best);
}

extern "C" __global__ void maxpool_picks(const real *x, u16 *picks, int n, int wide, Window w) {
    int i = wide ? quad() : element();
    if (i >= n) return;
    if (wide)
        pick_at<4>(x, picks, i, w);
    else
        pick_at<1>(x, picks, i, w);
}

template <int N>
static __device__ void pool_grad_at(const u16 *picks, const real *dy, real *dx, const real *mask, int i, int kind, const Window &w) {
    float sum[N], open[N];
    handed_down(sum, picks, dy, i, kind, w);
    if (mask) {
        load(open, mask + i);
        for (int j = 0; j < N; j++) sum[j] = open[j] > 0 ? sum[j] : 0;
    }
    store(dx + i, sum);
}

// dx = what the windows that picked the input hand down (MAX), its share of their
// means (AVERAGE), or both. mask: see dropout.
extern "C" __global__ void pool_grad(const u16 *picks, const real *dy, real *dx, const real *mask, int n, int wide,
                                     int kind, Window w) {
    int i = wide ? quad() : element();
    if (i >= n) return;
    if (wide)
        pool_grad_at<4>(picks, dy, dx, mask, i, kind, w);
    else
        pool_grad_at<1>(picks, dy, dx, mask, i, kind, w);
}

// Takes one activation of each window, drawn in proportion to max(x, 0), and
// stores it or, with picks, which it was (NONE if none is above 0). Without draw,
// stores their mean under the same proportions. In float64, as the CPU: the
// same activation is picked.
extern "C" __global__ void stochasticpool(const real *x, real *y, u16 *picks, const Step *step, int n, int slot,
                                          int draw, Part part, Window w) {
    int i = element();
    if (i >= n) return;
    Pixel p = pixel(i, w.oh, w.ow, w.oc);
    Cells c = cells(w, x, p.image, p.y, p.x, p.channel);
    double sum = 0, squares = 0;
    each(c, [&](int, int at) {
        double v = relu(c.x[at]);
        sum += v, squares += v * v;
    });
    int picked = NONE;
    float value = sum > 0 ? (float)(squares / sum) : 0;
    if (draw && sum > 0) {
        u32 word = random_word(stream(step, slot), step->step, place(part, i));
        double choice = word / 4294967296.0 * sum, reached = 0;
        bool done = false;
        each(c, [&](int cell, int at) {
            if (done || !(c.x[at] > 0)) return;
            reached += c.x[at], picked = cell, value = c.x[at];
            done = reached > choice;
        });
    }
    if (picks)
        picks[i] = (u16)picked;
    else
        y[i] = value;
}

// Pyramid: a grid of so many cells a side divides the whole map, see
// graph.PyramidCell. n outputs of this grid, which starts at value first of an
// image's outs.
struct Grid {
    Divisor height, width, channels, side;
    int first, outs;
};

static __device__ Cells grid_cell(const Grid &g, const real *x, int image, int cell, int channel) {
    Cells c;
    int row = cell / g.side, col = cell % g.side;
    c.x = x + (u64)image * g.height * g.width * g.channels + channel;
    c.top = row * g.height / g.side, c.bottom = ((row + 1) * g.height + g.side - 1) / g.side;
    c.left = col * g.width / g.side, c.right = ((col + 1) * g.width + g.side - 1) / g.side;
    c.width = g.width, c.channels = g.channels;
    c.y0 = c.x0 = c.kernel = 0; // cells are told by their place in the image: a grid may have one for all of it
    return c;
}

// With picks, stores which value of the image each maximum is.
extern "C" __global__ void pyramid(const real *x, real *y, int *picks, int n, Grid g) {
    int i = element();
    if (i >= n) return;
    Pixel p = pixel(i, g.side, g.side, g.channels);
    int cell = p.y * g.side + p.x;
    Cells c = grid_cell(g, x, p.image, cell, p.channel);
    int best = c.first();
    each(c, [&](int, int at) {
        if (c.x[at] > c.x[best]) best = at;
    });
    if (picks)
        picks[i] = best;
    else
        y[(u64)p.image * g.outs + g.first + cell * g.channels + p.channel] = c.x[best];
}

// dx gets one grid's gradients, added to what is there unless the grid is the first.
extern "C" __global__ void pyramid_grad(const int *picks, const real *dy, real *dx, int n, Grid g) {
    int i = element();
    if (i >= n) return;
    Pixel p = pixel(i, g.height, g.width, g.channels);
    float sum = g.first ? (float)dx[i] : 0;
    int self = (p.y * g.width + p.x) * g.channels, area = g.side * g.side;
    for (int cell = 0; cell < area; cell++) {
        int own = cell * g.channels + p.channel;
        if (picks[p.image * area * g.channels + own] == self) sum += dy[(u64)p.image * g.outs + g.first + own];
    }
    dx[i] = sum;
}

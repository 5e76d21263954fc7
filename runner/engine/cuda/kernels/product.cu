// Convolutions, dense and locally-connected layers without NVIDIA's libraries: one
// tiled matrix product whose operands are read straight from images and weights.
// A dense layer is a 1×1 convolution of one pixel, a locally-connected one a
// product of its own for each output pixel.
//
// A block has a tile of 64 × 64 results, a thread 4 × 4 of them; operands come 16
// terms at a time through shared memory. At 8 loads from there for 16
// multiply-adds it can reach about a third of the FMA peak; cuDNN and cuBLAS do
// better and are taken where they are found.

#define TILE 64
#define DEPTH 16
#define THREADS 256

struct Tiles {
    float a[DEPTH][TILE + 4]; // four more: neighbouring terms of a row fall into different banks
    float b[DEPTH][TILE];
};

// product gives c every a·b of a tile: Σ over terms [from, to) of a(row, term)·b(term, column).
// Across says that a's memory is contiguous over rows instead of terms: threads load along it.
template <bool across, class A, class B, class C>
static __device__ void product(Tiles &t, int row0, int rows, int col0, int cols, int from, int to, const A &a, const B &b, const C &c) {
    float sum[4][4] = {};
    int row = threadIdx.x / (TILE / 4) * 4, col = threadIdx.x % (TILE / 4) * 4;
    for (int term = from; term < to; term += DEPTH) {
        for (int i = threadIdx.x; i < DEPTH * TILE; i += THREADS) {
            int k = across ? i / TILE : i % DEPTH, r = across ? i % TILE : i / DEPTH;
            t.a[k][r] = row0 + r < rows && term + k < to ? a(row0 + r, term + k) : 0;
        }
        for (int i = threadIdx.x; i < DEPTH * TILE; i += THREADS) {
            int k = i / TILE, n = i % TILE;
            t.b[k][n] = col0 + n < cols && term + k < to ? b(term + k, col0 + n) : 0;
        }
        __syncthreads();
        for (int k = 0; k < DEPTH; k++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sum[i][j] += t.a[k][row + i] * t.b[k][col + j];
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (row0 + row + i < rows && col0 + col + j < cols) c(row0 + row + i, col0 + col + j, sum[i][j]);
}

// Task is which product and which tile of it a block has. Blocks along x are
// tiles of rows, for one product after another; along y tiles of columns.
struct Task {
    int number, row0, col0;
};

static __device__ Task task(int rows) {
    int tiles = (rows + TILE - 1) / TILE;
    return Task{(int)(blockIdx.x / tiles), (int)(blockIdx.x % tiles) * TILE, (int)blockIdx.y * TILE};
}

// Geometry is a window seen by one group. With pixel ≥ 0 rows are images at that
// output pixel, else all pixels of all images.
struct Geometry {
    Window w;
    int group, in, out, pixel; // in, out: channels of a group

    // cell takes a term of a weight row apart: kernel cell and channel.
    __device__ void cell(int term, const Divisor &channels, int *ky, int *kx, int *channel) const {
        *channel = term % channels, term = term / channels;
        *kx = term % w.kernel, *ky = term / w.kernel;
    }
    // at gives image and place of a row.
    __device__ void at(int row, const Divisor &height, const Divisor &width, int *image, int *y, int *x) const {
        int line = (pixel < 0 ? row : pixel) / width;
        *x = (pixel < 0 ? row : pixel) - line * width;
        *image = pixel < 0 ? line / height : row, *y = line % height;
    }
    // input is x under a kernel cell of an output row, 0 outside the image.
    __device__ float input(const float *x, int row, int term) const {
        int ky, kx, c, image, oy, ox;
        cell(term, w.in, &ky, &kx, &c);
        at(row, w.oh, w.ow, &image, &oy, &ox);
        int iy = oy * w.stride + ky - w.top, ix = ox * w.stride + kx - w.left;
        if (iy < 0 || iy >= w.ih || ix < 0 || ix >= w.iw) return 0;
        return x[(((u64)image * w.ih + iy) * w.iw + ix) * w.ic + group * in + c];
    }
    // output is the index of a row's output of the group.
    __device__ u64 output(int row, int o) const {
        u64 pixels = pixel < 0 ? row : (u64)row * w.oh * w.ow + pixel;
        return pixels * w.oc + group * out + o;
    }
    // above gives the output pixel whose kernel cell (ky, kx) lies on input (iy, ix), −1 if there is none.
    __device__ int above(int iy, int ix, int ky, int kx) const {
        int y = iy + w.top - ky, x = ix + w.left - kx;
        if (y < 0 || x < 0 || y % w.stride || x % w.stride) return -1;
        y = y / w.stride, x = x / w.stride;
        return y < w.oh && x < w.ow ? y * w.ow + x : -1;
    }
    __device__ int weights() const { return w.kernel * w.kernel * in * w.oc; } // of one pixel
};

// local says that every pixel has weights of its own; products are then one a
// pixel and group, else one a group.
static __device__ Geometry geometry(const Window &w, int number, int local) {
    return Geometry{w, number % w.groups, w.in, w.out, local ? number / w.groups : -1};
}

extern "C" __global__ void conv(const float *x, const float *weights, const float *bias, float *y, int rows, int local,
                                int rectify, Window w) {
    __shared__ Tiles tiles;
    Task t = task(rows);
    Geometry g = geometry(w, t.number, local);
    if (local) weights += (u64)g.pixel * g.weights();
    if (local && bias) bias += g.pixel * w.oc;
    product<false>(
        tiles, t.row0, rows, t.col0, g.out, 0, w.kernel * w.kernel * g.in,
        [&](int row, int term) { return g.input(x, row, term); },
        [&](int term, int o) { return weights[(u64)term * w.oc + g.group * g.out + o]; },
        [&](int row, int o, float sum) {
            if (bias) sum += bias[g.group * g.out + o];
            y[g.output(row, o)] = rectify ? relu(sum) : sum;
        });
}

extern "C" __global__ void conv_data_grad(const float *weights, const float *dy, float *dx, int rows, Window w) {
    __shared__ Tiles tiles;
    Task t = task(rows);
    Geometry g = geometry(w, t.number, 0);
    product<false>(
        tiles, t.row0, rows, t.col0, g.in, 0, w.kernel * w.kernel * g.out,
        [&](int row, int term) {
            int ky, kx, o, image, iy, ix;
            g.cell(term, w.out, &ky, &kx, &o);
            g.at(row, w.ih, w.iw, &image, &iy, &ix);
            int pixel = g.above(iy, ix, ky, kx);
            return pixel < 0 ? 0 : dy[((u64)image * w.oh * w.ow + pixel) * w.oc + g.group * g.out + o];
        },
        [&](int term, int i) {
            int ky, kx, o;
            g.cell(term, w.out, &ky, &kx, &o);
            return weights[(u64)((ky * w.kernel + kx) * g.in + i) * w.oc + g.group * g.out + o];
        },
        [&](int row, int i, float sum) { dx[(u64)row * w.ic + g.group * g.in + i] = sum; });
}

// A locally-connected layer's weights differ from pixel to pixel, so there is
// little that a tile would share: a thread sums one of n values.
extern "C" __global__ void local_data_grad(const float *weights, const float *dy, float *dx, int n, Window w) {
    int i = element();
    if (i >= n) return;
    int c = i % w.ic, row = i / w.ic, image, iy, ix;
    Geometry g = geometry(w, c / w.in, 0);
    g.at(row, w.ih, w.iw, &image, &iy, &ix);
    float sum = 0;
    for (int ky = 0; ky < w.kernel; ky++)
        for (int kx = 0; kx < w.kernel; kx++) {
            int pixel = g.above(iy, ix, ky, kx);
            if (pixel < 0) continue;
            const float *own = weights + (u64)pixel * g.weights() + (u64)((ky * w.kernel + kx) * g.in + c % w.in) * w.oc + g.group * g.out;
            const float *grad = dy + ((u64)image * w.oh * w.ow + pixel) * w.oc + g.group * g.out;
            for (int o = 0; o < g.out; o++) sum += grad[o] * own[o];
        }
    dx[i] = sum;
}

// dw of chunk number chunk of the output rows (images and pixels) goes to dw +
// chunk·size; the chunks are then added by chunk_totals.
extern "C" __global__ void conv_weight_grad(const float *x, const float *dy, float *dw, int rows, int per, int local, Window w) {
    __shared__ Tiles tiles;
    int terms = w.kernel * w.kernel * w.in;
    Task t = task(terms);
    int products = w.groups * (local ? w.oh * w.ow : 1), chunk = t.number / products;
    Geometry g = geometry(w, t.number % products, local);
    dw += (u64)(local ? g.pixel : chunk) * g.weights();
    product<true>(
        tiles, t.row0, terms, t.col0, g.out, chunk * per, least((chunk + 1) * per, rows),
        [&](int term, int row) { return g.input(x, row, term); },
        [&](int row, int o) { return dy[g.output(row, o)]; },
        [&](int term, int o, float sum) { dw[(u64)term * w.oc + g.group * g.out + o] = sum; });
}

// A dense layer's weight gradient that changes weights and velocities at once:
// AlexNet's fc6 has 151 MB of it, which are neither stored nor read.
extern "C" __global__ void dense_weight_update(const float *x, const float *dy, float *weights, float *velocity,
                                               const Step *step, int slot, int batch, int inputs, int outputs) {
    __shared__ Tiles tiles;
    const Rule *r = rule(step, slot);
    if (r->frozen) return;
    Task t = task(inputs);
    product<true>(
        tiles, t.row0, inputs, t.col0, outputs, 0, batch,
        [&](int i, int image) { return x[(u64)image * inputs + i]; },
        [&](int image, int o) { return dy[(u64)image * outputs + o]; },
        [&](int i, int o, float sum) {
            u64 at = (u64)i * outputs + o;
            float v = __fmul_rn(step->momentum, velocity[at]) - __fmul_rn(r->decay, weights[at]) - __fmul_rn(r->rate, sum);
            velocity[at] = v;
            weights[at] += v;
        });
}

// Local response normalisation, y = x·d^−β with d = k + α·Σx² over a window, and
// its gradient, dx_i = dy_i·d_i^−β − 2αβ·x_i·Σ_j dy_j·x_j·d_j^−β−1.
//
// Across maps, whole lines (one pixel's maps of one column) lie in a block's
// shared memory: x comes once from DRAM, y goes once, dx needs x and dy once. That
// is 8 and 12 bytes a value: AlexNet's norm1 at batch 256 (74 M values) takes at
// least 0.12 and 0.19 ms at 4.8 TB/s. Where a max pooling follows, the gradient
// between both is gathered here instead of being written and read: 0.12 ms less.
// Within maps, and for lines that do not fit, windows are read through the caches.

// power is d^−β, and gives 1/d. β of the paper, ¾, takes two reciprocal roots,
// which the hardware has, instead of a logarithm, an exponential and divisions.
static __device__ float power(float d, float beta, float *inverse) {
    if (beta == 0.75f) {
        float root = rsqrtf(d);
        *inverse = root * root;
        return *inverse * rsqrtf(root);
    }
    *inverse = 1 / d;
    return powf(d, -beta);
}

// Lines are what a block normalises: so many, each of per threads that have one
// or four values. Beside each line lie edge zeros, so that every window has 2·half + 1 values.
struct Lines {
    Divisor per;
    int lines, total, line, half, edge;
};

#define ROOM 2048 // values of a block with their edges

// Line is where a thread's values are.
struct Line {
    int slot; // in shared memory
    int at;   // in the tensor, −1 behind the last line
};

template <int N> static __device__ Line begin(const Lines &r, float *squares, float *shares) {
    int number = (int)threadIdx.x / r.per, c = (int)threadIdx.x % r.per * N, stride = r.line + 2 * r.edge;
    int line = blockIdx.x * r.lines + number, left = number * stride, right = left + r.edge + r.line;
    for (int j = c; j < r.edge; j += r.line)
        for (int o = j; o < j + N; o++) {
            squares[left + o] = squares[right + o] = 0;
            if (shares) shares[left + o] = shares[right + o] = 0;
        }
    return Line{left + r.edge + c, line < r.total ? line * r.line + c : -1};
}

// sums are those of the windows around a thread's values.
template <int N> static __device__ void sums(float (&sum)[N], const float *values, int slot, int half) {
    for (int o = 0; o < N; o++) sum[o] = 0;
    for (int j = -half; j <= half; j++)
        for (int o = 0; o < N; o++) sum[o] += values[slot + o + j];
}

// The same of four values with a window of half H, in the same order: three loads of four
// instead of one of each value, which four threads of a warp at a time fetch from one bank.
template <int H> static __device__ void sums_of_four(float (&sum)[4], const float *values) {
    float w[12];
    for (int b = 0; b < 3; b++) {
        float v[4];
        load(v, values + 4 * b - 4);
        for (int o = 0; o < 4; o++) w[4 * b + o] = v[o];
    }
    for (int o = 0; o < 4; o++) {
        sum[o] = 0;
        for (int j = 4 - H; j <= 4 + H; j++) sum[o] += w[o + j];
    }
}

static __device__ void sums(float (&sum)[4], const float *values, int slot, int half) {
    switch (half) {
    case 1: return sums_of_four<1>(sum, values + slot);
    case 2: return sums_of_four<2>(sum, values + slot);
    case 3: return sums_of_four<3>(sum, values + slot);
    case 4: return sums_of_four<4>(sum, values + slot);
    }
    sums<4>(sum, values, slot, half);
}

template <int N>
static __device__ void lrn_lines_at(float *squares, const real *x, real *y, float k, float alpha, float beta, const Lines &r) {
    Line l = begin<N>(r, squares, nullptr);
    float v[N] = {}, sum[N], square[N], inverse;
    if (l.at >= 0) load(v, x + l.at);
    for (int o = 0; o < N; o++) square[o] = v[o] * v[o];
    store(squares + l.slot, square);
    __syncthreads();
    sums(sum, squares, l.slot, r.half);
    for (int o = 0; o < N; o++) v[o] *= power(k + alpha * sum[o], beta, &inverse);
    if (l.at >= 0) store(y + l.at, v);
}

extern "C" __global__ void lrn_lines(const real *x, real *y, int wide, float k, float alpha, float beta, Lines r) {
    __shared__ __align__(16) float squares[ROOM];
    if (wide)
        lrn_lines_at<4>(squares, x, y, k, alpha, beta, r);
    else
        lrn_lines_at<1>(squares, x, y, k, alpha, beta, r);
}

// Where the gradients of the values from i on come from: stored ones, or those that the
// windows of a max pooling hand down. NVRTC 12 takes no generic lambdas in their place.
struct Stored {
    const real *dy;
    template <int N> __device__ void read(float (&d)[N], int i) const { load(d, dy + i); }
};

struct Gathered {
    const u16 *picks;
    const real *dy;
    const Window &w;
    template <int N> __device__ void read(float (&d)[N], int i) const { handed_down(d, picks, dy, i, MAX, w); }
};

template <int N, class From>
static __device__ void lrn_lines_grad_at(float *squares, float *shares, const real *x, const From &from, real *dx, const real *mask,
                                         float k, float alpha, float beta, const Lines &r) {
    Line l = begin<N>(r, squares, shares);
    float v[N] = {}, d[N] = {}, sum[N], own[N], inverse;
    if (l.at >= 0) load(v, x + l.at), from.read(d, l.at);
    for (int o = 0; o < N; o++) own[o] = v[o] * v[o];
    store(squares + l.slot, own);
    __syncthreads();
    sums(sum, squares, l.slot, r.half);
    for (int o = 0; o < N; o++) {
        d[o] *= power(k + alpha * sum[o], beta, &inverse);
        own[o] = d[o] * v[o] * inverse;
    }
    store(shares + l.slot, own);
    __syncthreads();
    if (l.at < 0) return;
    sums(sum, shares, l.slot, r.half);
    for (int o = 0; o < N; o++) d[o] -= 2 * alpha * beta * v[o] * sum[o];
    if (mask) {
        if (mask != x) load(v, mask + l.at); // a ReLU below hands its output to both
        for (int o = 0; o < N; o++) d[o] = v[o] > 0 ? d[o] : 0;
    }
    store(dx + l.at, d);
}

// dx may be dy: a thread writes only what it alone has read.
extern "C" __global__ void lrn_lines_grad(const real *x, const real *dy, real *dx, const real *mask, int wide, float k,
                                          float alpha, float beta, Lines r) {
    __shared__ __align__(16) float squares[ROOM], shares[ROOM];
    Stored stored = {dy};
    if (wide)
        lrn_lines_grad_at<4>(squares, shares, x, stored, dx, mask, k, alpha, beta, r);
    else
        lrn_lines_grad_at<1>(squares, shares, x, stored, dx, mask, k, alpha, beta, r);
}

// The same behind a max pooling of window w, whose output has the gradient dy and whose cells are picked.
extern "C" __global__ void lrn_pool_grad(const real *x, const u16 *picks, const real *dy, real *dx, const real *mask, int wide,
                                         float k, float alpha, float beta, Lines r, Window w) {
    __shared__ __align__(16) float squares[ROOM], shares[ROOM];
    Gathered gathered = {picks, dy, w};
    if (wide)
        lrn_lines_grad_at<4>(squares, shares, x, gathered, dx, mask, k, alpha, beta, r);
    else
        lrn_lines_grad_at<1>(squares, shares, x, gathered, dx, mask, k, alpha, beta, r);
}

// Region is what windows are in: images, of whose channels line belong together;
// a window reaches half to both sides, across them or, with within, over pixels.
struct Region {
    Divisor height, width, channels, line;
    int half, within;
};

// window calls f for every value in the window around value i.
template <class F> static __device__ void window(const Region &r, int i, F f) {
    if (!r.within) {
        int c = i % r.line;
        for (int j = i - least(c, r.half), end = i + least(r.line - 1 - c, r.half); j <= end; j++) f(j);
        return;
    }
    int column = i / r.channels, x = column % r.width, y = column / r.width % r.height;
    int left = least(x, r.half), right = least(r.width - 1 - x, r.half);
    int up = least(y, r.half), down = least(r.height - 1 - y, r.half);
    for (int dy = -up; dy <= down; dy++)
        for (int dx = -left; dx <= right; dx++) f(i + (dy * r.width + dx) * r.channels);
}

static __device__ float denominator(const Region &r, const real *x, int i, float k, float alpha) {
    float sum = 0;
    window(r, i, [&](int j) { sum += x[j] * x[j]; });
    return k + alpha * sum;
}

extern "C" __global__ void lrn(const real *x, real *y, int n, float k, float alpha, float beta, Region r) {
    int i = element();
    float inverse;
    if (i < n) y[i] = x[i] * power(denominator(r, x, i, k, alpha), beta, &inverse);
}

// The gradient's first half: shares = dy·x·d^−β−1, dx = dy·d^−β. dx may be dy.
extern "C" __global__ void lrn_shares(const real *x, const real *dy, real *dx, float *shares, int n, float k,
                                      float alpha, float beta, Region r) {
    int i = element();
    if (i >= n) return;
    float inverse, scaled = dy[i] * power(denominator(r, x, i, k, alpha), beta, &inverse);
    shares[i] = scaled * x[i] * inverse;
    dx[i] = scaled;
}

// The second half: dx −= factor·x·Σ shares. mask: see dropout.
extern "C" __global__ void lrn_gather(const real *x, const float *shares, real *dx, const real *mask, int n,
                                      float factor, Region r) {
    int i = element();
    if (i >= n) return;
    float sum = 0;
    window(r, i, [&](int j) { sum += shares[j]; });
    dx[i] = mask && !(mask[i] > 0) ? 0.0f : dx[i] - factor * x[i] * sum;
}

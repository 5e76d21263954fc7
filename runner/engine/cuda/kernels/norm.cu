// Local response normalisation, y = x·d^−β with d = k + α·Σx² over a window, and
// its gradient, dx_i = dy_i·d_i^−β − 2αβ·x_i·Σ_j dy_j·x_j·d_j^−β−1.
//
// Across maps, whole lines (one pixel's maps of one column) lie in a block's
// shared memory: x comes once from DRAM, y goes once, dx needs x and dy once. That
// is 8 and 12 bytes a value: AlexNet's norm1 at batch 256 (74 M values) takes at
// least 0.12 and 0.19 ms at 4.8 TB/s. Within maps, and for lines that do not
// fit, windows are read through the caches.

#define LINES 1024 // values of a block

static __device__ float power(float d, float beta) {
    if (beta == 0.75f) { // of the paper: two roots instead of a logarithm and an exponential
        float root = sqrtf(d);
        return 1 / (root * sqrtf(root));
    }
    return powf(d, -beta);
}

// Region is what windows are in: images, of whose channels line belong together;
// a window reaches half to both sides, across them or, with within, over pixels.
struct Region {
    int height, width, channels, line, half, within;
};

// window calls f for every value in the window around value i.
template <class F> static __device__ void window(const Region &r, int i, F f) {
    if (!r.within) {
        int c = i % r.line;
        for (int j = i - least(c, r.half), end = i + least(r.line - 1 - c, r.half); j <= end; j++) f(j);
        return;
    }
    int x = i / r.channels % r.width, y = i / (r.channels * r.width) % r.height;
    int left = least(x, r.half), right = least(r.width - 1 - x, r.half);
    int up = least(y, r.half), down = least(r.height - 1 - y, r.half);
    for (int dy = -up; dy <= down; dy++)
        for (int dx = -left; dx <= right; dx++) f(i + (dy * r.width + dx) * r.channels);
}

static __device__ float denominator(const Region &r, const float *x, int i, float k, float alpha) {
    float sum = 0;
    window(r, i, [&](int j) { sum += x[j] * x[j]; });
    return k + alpha * sum;
}

extern "C" __global__ void lrn(const float *x, float *y, int n, float k, float alpha, float beta, Region r) {
    int i = element();
    if (i < n) y[i] = x[i] * power(denominator(r, x, i, k, alpha), beta);
}

// The gradient's first half: shares = dy·x·d^−β−1, dx = dy·d^−β. dx may be dy.
extern "C" __global__ void lrn_shares(const float *x, const float *dy, float *dx, float *shares, int n, float k,
                                      float alpha, float beta, Region r) {
    int i = element();
    if (i >= n) return;
    float d = denominator(r, x, i, k, alpha), scaled = dy[i] * power(d, beta);
    shares[i] = scaled * x[i] / d;
    dx[i] = scaled;
}

// The second half: dx −= factor·x·Σ shares. mask: see dropout.
extern "C" __global__ void lrn_gather(const float *x, const float *shares, float *dx, const float *mask, int n,
                                      float factor, Region r) {
    int i = element();
    if (i >= n) return;
    float sum = 0;
    window(r, i, [&](int j) { sum += shares[j]; });
    dx[i] = mask && !(mask[i] > 0) ? 0 : dx[i] - factor * x[i] * sum;
}

// A block's run of whole lines: per values from start on.
#define BLOCK_OF_LINES                                                                                                 \
    int per = LINES / r.line * r.line, start = blockIdx.x * per, end = least(start + per, n)

extern "C" __global__ void lrn_lines(const float *x, float *y, int n, float k, float alpha, float beta, Region r) {
    __shared__ float values[LINES];
    BLOCK_OF_LINES;
    for (int i = start + threadIdx.x; i < end; i += blockDim.x) values[i - start] = x[i];
    __syncthreads();
    for (int i = start + threadIdx.x; i < end; i += blockDim.x)
        y[i] = values[i - start] * power(denominator(r, values, i - start, k, alpha), beta);
}

// dx may be dy: a block writes only what it alone has read.
extern "C" __global__ void lrn_lines_grad(const float *x, const float *dy, float *dx, const float *mask, int n, float k,
                                          float alpha, float beta, Region r) {
    __shared__ float values[LINES], shares[LINES], scaled[LINES];
    BLOCK_OF_LINES;
    for (int i = start + threadIdx.x; i < end; i += blockDim.x) values[i - start] = x[i];
    __syncthreads();
    for (int i = start + threadIdx.x; i < end; i += blockDim.x) {
        int at = i - start;
        float d = denominator(r, values, at, k, alpha);
        scaled[at] = dy[i] * power(d, beta);
        shares[at] = scaled[at] * values[at] / d;
    }
    __syncthreads();
    for (int i = start + threadIdx.x; i < end; i += blockDim.x) {
        int at = i - start;
        float sum = 0;
        window(r, at, [&](int j) { sum += shares[j]; });
        dx[i] = mask && !(mask[i] > 0) ? 0 : scaled[at] - 2 * alpha * beta * values[at] * sum;
    }
}

// Sums over the rows of a matrix whose columns are channels: gradients of biases,
// slopes and scales, means and variances. Rows are cut into chunks by their number
// alone; a block sums 32 columns of a chunk, eight rows at a time, and the chunks
// are added in order. Each operand is read once.

enum { SUM, DISTANCE, PRODUCT, NEGATIVE };

#define LANES 32
#define ROWS 8

extern "C" __global__ void column_chunks(const real *x, const real *dy, const float *mean, float *partial, int rows,
                                         int channels, int chunks, int kind) {
    __shared__ float sums[ROWS][LANES];
    int lane = threadIdx.x % LANES, row = threadIdx.x / LANES;
    int groups = (channels + LANES - 1) / LANES, chunk = blockIdx.x / groups;
    int c = blockIdx.x % groups * LANES + lane;
    int from = (int)((u64)chunk * rows / chunks), to = (int)((u64)(chunk + 1) * rows / chunks);
    float sum = 0;
    if (c < channels) {
        float centre = mean ? mean[c] : 0;
        for (int r = from + row; r < to; r += ROWS) {
            u64 i = (u64)r * channels + c;
            float v = x[i];
            switch (kind) {
            case SUM: sum += v; break;
            case DISTANCE: sum += (v - centre) * (v - centre); break;
            case PRODUCT: sum += dy[i] * (v - centre); break;
            default: sum += v < 0 ? dy[i] * v : 0.0f;
            }
        }
    }
    sums[row][lane] = sum;
    __syncthreads();
    if (row || c >= channels) return;
    for (int r = 1; r < ROWS; r++) sum += sums[r][lane];
    partial[(u64)chunk * channels + c] = sum;
}

// out = scale·Σ chunks, over √(variance + ε) if there is a variance.
extern "C" __global__ void chunk_totals(const float *partial, float *out, const float *variance, int n, int chunks,
                                        float scale, float epsilon) {
    int i = element();
    if (i >= n) return;
    float sum = 0;
    for (int chunk = 0; chunk < chunks; chunk++) sum += partial[(u64)chunk * n + i];
    out[i] = sum * scale / (variance ? sqrtf(variance[i] + epsilon) : 1);
}

// y = scale·(x − mean)/√(variance + ε) + shift.
extern "C" __global__ void batchnorm(const real *x, const float *mean, const float *variance, const float *scale,
                                     const float *shift, real *y, int n, Divisor channels, float epsilon, int rectify) {
    int i = element(), c = i % channels;
    if (i >= n) return;
    float v = scale[c] / sqrtf(variance[c] + epsilon) * (x[i] - mean[c]) + shift[c];
    y[i] = rectify ? relu(v) : v;
}

// dx = scale/√(variance + ε)·(dy − (dshift + x̂·dscale)/m), m values a channel.
extern "C" __global__ void batchnorm_grad(const real *x, const float *mean, const float *variance, const float *scale,
                                          const float *dscale, const float *dshift, const real *dy, real *dx, int n,
                                          Divisor channels, float epsilon) {
    int i = element(), c = i % channels;
    if (i >= n) return;
    float by = 1 / sqrtf(variance[c] + epsilon), m = n / channels;
    dx[i] = scale[c] * by * (dy[i] - (dshift[c] + (x[i] - mean[c]) * by * dscale[c]) / m);
}

// Group is the geometry of a group norm: images × groups of a few channels, of which
// size are in a group. first and made are the channels that are made.
struct Group {
    Divisor channels, groups, size, made;
    int pixels, first;
};

// A thread adds up a group of an image: mean and 1/√(variance + ε), and with dy the means of g = scale·dy and of g·x̂.
extern "C" __global__ void group_moments(const real *x, const float *scale, const real *dy, float *moments, int n, Group g,
                                         float epsilon) {
    int i = element();
    if (i >= n) return;
    u64 first = (u64)(i / g.groups) * g.pixels * g.channels + i % g.groups * g.size;
    int c0 = i % g.groups * g.size;
    float m = (float)g.pixels * g.size, mean = 0, variance = 0;
    for (int p = 0; p < g.pixels; p++)
        for (int c = 0; c < g.size; c++) mean += (float)x[first + (u64)p * g.channels + c];
    mean /= m;
    for (int p = 0; p < g.pixels; p++)
        for (int c = 0; c < g.size; c++) {
            float d = (float)x[first + (u64)p * g.channels + c] - mean;
            variance += d * d;
        }
    float by = 1 / sqrtf(variance / m + epsilon), sum = 0, product = 0;
    for (int p = 0; dy && p < g.pixels; p++)
        for (int c = 0; c < g.size; c++) {
            u64 at = first + (u64)p * g.channels + c;
            float d = scale[c0 + c] * (float)dy[at];
            sum += d;
            product += d * ((float)x[at] - mean) * by;
        }
    float *to = moments + 4 * (u64)i;
    to[0] = mean, to[1] = by, to[2] = sum / m, to[3] = product / m;
}

// y = x̂·scale + shift; n values of y.
extern "C" __global__ void group_norm(const real *x, const float *moments, const float *scale, const float *shift, real *y,
                                      int n, Group g) {
    int i = element();
    if (i >= n) return;
    int made = i % g.made, pixel = i / g.made, c = g.first + made;
    const float *m = moments + 4 * (u64)(pixel / g.pixels * g.groups + c / g.size);
    y[i] = ((float)x[(u64)pixel * g.channels + c] - m[0]) * m[1] * scale[made] + shift[made];
}

// dx = (g − mean(g) − x̂·mean(g·x̂))/√(variance + ε), g being scale·dy; n values of dx.
extern "C" __global__ void group_norm_grad(const real *x, const float *moments, const float *scale, const real *dy, real *dx,
                                           int n, Group g) {
    int i = element();
    if (i >= n) return;
    int pixel = i / g.made, c = g.first + i % g.made;
    const float *m = moments + 4 * (u64)(pixel / g.pixels * g.groups + c / g.size);
    u64 at = (u64)pixel * g.channels + c;
    dx[i] = m[1] * (scale[c] * (float)dy[at] - m[2] - ((float)x[at] - m[0]) * m[1] * m[3]);
}

// dscale = Σ dy·x̂ over images and pixels; n channels that are made.
extern "C" __global__ void group_norm_scale_grad(const real *x, const float *moments, const real *dy, float *dscale, int n,
                                                 Group g, int rows) {
    int i = element();
    if (i >= n) return;
    int c = g.first + i;
    float sum = 0;
    for (int row = 0; row < rows; row++) {
        const float *m = moments + 4 * (u64)(row / g.pixels * g.groups + c / g.size);
        u64 at = (u64)row * g.channels + c;
        sum += (float)dy[at] * ((float)x[at] - m[0]) * m[1];
    }
    dscale[i] = sum;
}

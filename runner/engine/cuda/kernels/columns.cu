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

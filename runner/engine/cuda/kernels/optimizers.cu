// The rules by which parameters follow their gradients, but for the paper's own
// (update of elementwise.cu), and the norms that some of them need. Products are
// rounded before they are added, as on the CPU.

enum { SGD, NESTEROV, RMSPROP, ADAGRAD, ADAM, ADAMW, LARS };

// A value a thread. norm is of all gradients, or 0 where none are clipped. fresh1 and
// fresh2 are 1 − beta1 and 1 − beta2; the latter is RMSprop's alpha.
extern "C" __global__ void optimize(float *w, float *first, float *second, const float *g, const float *norm,
                                    const float *weight_norm, const float *grad_norm, const Step *step, int n, int slot,
                                    int kind, float limit, float l1, float beta1, float fresh1, float beta2, float fresh2,
                                    float trust, float epsilon) {
    int i = element();
    const Rule *r = rule(step, slot);
    if (i >= n || r->frozen) return;
    float x = w[i], momentum = step->momentum, rate = r->rate;
    float clip = norm ? limit / (*norm + 1e-6f) : 1;
    if (clip > 1) clip = 1;
    float d = __fmul_rn(clip, g[i]);
    d += x > 0 ? l1 : x < 0 ? -l1 : 0;
    float decay = __fmul_rn(r->decay, x);
    if (kind == SGD) {
        float v = __fmul_rn(momentum, first[i]) - decay - __fmul_rn(rate, d);
        first[i] = v, w[i] = x + v;
        return;
    }
    if (kind == ADAMW) x -= decay;
    else d += decay;
    switch (kind) {
    case NESTEROV: {
        float s = __fmul_rn(rate, d), v = __fmul_rn(momentum, first[i]) - s;
        first[i] = v, w[i] = x + (__fmul_rn(momentum, v) - s);
        break;
    }
    case RMSPROP: {
        float q = __fmul_rn(beta2, second[i]) + __fmul_rn(__fmul_rn(fresh2, d), d);
        float v = __fmul_rn(momentum, first[i]) - __fmul_rn(rate, d / (sqrtf(q) + epsilon));
        second[i] = q, first[i] = v, w[i] = x + v;
        break;
    }
    case ADAGRAD: {
        float q = first[i] + __fmul_rn(d, d);
        first[i] = q, w[i] = x - __fmul_rn(rate, d / (sqrtf(q) + epsilon));
        break;
    }
    case ADAM:
    case ADAMW: {
        float m = __fmul_rn(beta1, first[i]) + __fmul_rn(fresh1, d);
        float q = __fmul_rn(beta2, second[i]) + __fmul_rn(__fmul_rn(fresh2, d), d);
        first[i] = m, second[i] = q, w[i] = x - __fmul_rn(rate, m / (sqrtf(q) / r->correction + epsilon));
        break;
    }
    case LARS: {
        float a = *weight_norm, b = __fmul_rn(clip, *grad_norm), ratio = 1;
        if (a != 0 && b != 0) ratio = __fmul_rn(trust, a) / (b + __fmul_rn(r->decay, a) + epsilon);
        float v = __fmul_rn(momentum, first[i]) - __fmul_rn(__fmul_rn(rate, ratio), d);
        first[i] = v, w[i] = x + v;
        break;
    }
    }
}

#define NORM_THREADS 256

// Adds the threads' values in pairs, pairs of pairs and so on.
static __device__ double added(double *values, double v) {
    values[threadIdx.x] = v;
    for (int half = NORM_THREADS / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    }
    __syncthreads();
    return values[0];
}

// A block adds the squares of 16 values a thread, each exact in float64.
extern "C" __global__ void square_chunks(const float *x, double *sums, int n) {
    __shared__ double values[NORM_THREADS];
    double sum = 0;
    for (int k = 0; k < 16; k++) {
        int i = (blockIdx.x * 16 + k) * NORM_THREADS + threadIdx.x;
        if (i < n) sum += (double)x[i] * x[i];
    }
    sum = added(values, sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// out = the root of all sums' sum. One block.
extern "C" __global__ void norm_of_chunks(const double *sums, float *out, int n) {
    __shared__ double values[NORM_THREADS];
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += NORM_THREADS) sum += sums[i];
    sum = added(values, sum);
    if (threadIdx.x == 0) *out = (float)sqrt(sum);
}

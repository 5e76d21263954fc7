// Elementwise kernels: each reads and writes every operand once, four values a
// thread. At 4.8 TB/s AlexNet's relu1 (batch 256, 74 M values) needs 0.12 ms, the
// update of its 62 M weights (three reads, two writes) 0.26 ms.

enum { RELU, LEAKY_RELU, ELU, SOFTPLUS, ARCSINH, TANH, SIGMOID, GELU, SILU, HARD_SWISH };

static __device__ float unit_at(int f, float a, float b, float x) {
    switch (f) {
    case RELU: return relu(x);
    case LEAKY_RELU: return x < 0 ? a * x : x;
    case ELU: return x < 0 ? a * b * expm1f(x) : b * x;
    case SOFTPLUS: return fmaxf(x, 0) + log1pf(expf(-fabsf(x))) - a + (x != x ? x : 0); // fmaxf drops a NaN
    case ARCSINH: return asinhf(x);
    case TANH: return a * tanhf(b * x);
    case GELU: return x * erfcf(-0.70710678f * x) / 2;
    case SILU: return x / (1 + expf(-x));
    case HARD_SWISH: return x * (x <= -3 ? 0 : x >= 3 ? 6 : x + 3) / 6;
    default: return 1 / (1 + expf(-x));
    }
}

// unit_slope is the derivative where the unit's value is y; of the last three, where its argument is.
static __device__ float unit_slope(int f, float a, float b, float y) {
    switch (f) {
    case RELU: return y > 0 ? 1 : 0;
    case LEAKY_RELU: return y < 0 ? a : 1;
    case ELU: return y < 0 ? y + a * b : b;
    case SOFTPLUS: return -expm1f(-(y + a));
    case ARCSINH: return 1 / coshf(y);
    case TANH: return b / a * (a * a - y * y);
    case GELU: return erfcf(-0.70710678f * y) / 2 + y * expf(-y * y / 2) * 0.39894228f;
    case SILU: {
        float s = 1 / (1 + expf(-y));
        return s * (1 + y * (1 - s));
    }
    case HARD_SWISH: return y <= -3 ? 0 : y >= 3 ? 1 : (2 * y + 3) / 6;
    default: return y * (1 - y);
    }
}

// y = f(x). y may be x.
extern "C" __global__ void unit(const real *x, real *y, int n, int wide, int f, float a, float b) {
    int i = quad();
    if (i >= n) return;
    float v[4];
    load(v, x, i, n, wide);
    for (int j = 0; j < 4; j++) v[j] = unit_at(f, a, b, v[j]);
    store(y, v, i, n, wide);
}

// dx = dy·f'(x), from y. dx may be dy.
extern "C" __global__ void unit_grad(const real *y, const real *dy, real *dx, int n, int wide, int f, float a, float b) {
    int i = quad();
    if (i >= n) return;
    float v[4], d[4];
    load(v, y, i, n, wide);
    load(d, dy, i, n, wide);
    // ReLU selects instead of multiplying, so that an infinite gradient of a closed unit gives 0.
    for (int j = 0; j < 4; j++) d[j] = f == RELU ? (v[j] > 0 ? d[j] : 0) : d[j] * unit_slope(f, a, b, v[j]);
    store(dx, d, i, n, wide);
}

// The mask's word of each activation decides whether it is kept, times up; with
// drop 0, or dropout_off, all are multiplied by kept. Where mask (a ReLU's
// output) is not positive the result is 0. y may be x.
extern "C" __global__ void dropout(const real *x, real *y, const real *mask, const Step *step, int n, int wide,
                                   int slot, u64 threshold, int drop, float up, float kept, Part part) {
    int i = quad();
    if (i >= n) return;
    float v[4], m[4];
    load(v, x, i, n, wide);
    if (!drop || step->dropout_off) {
        for (int j = 0; j < 4; j++) v[j] *= kept;
    } else {
        const Stream *s = stream(step, slot);
        u64 drawn = ~(u64)0; // the block of four words at hand
        Words w = {};
        for (int j = 0; j < 4 && i + j < n; j++) {
            u64 at = place(part, i + j);
            if (at / 4 != drawn) drawn = at / 4, w = philox(s, step->step, drawn);
            v[j] = (w.word[at % 4] < threshold ? 0 : v[j]) * up;
        }
    }
    if (mask) {
        load(m, mask, i, n, wide);
        for (int j = 0; j < 4; j++) v[j] = m[j] > 0 ? v[j] : 0;
    }
    store(y, v, i, n, wide);
}

// out = v where sign is above 0, elsewhere slope·v, the slope drawn from [lower, lower + span).
extern "C" __global__ void rrelu(const real *sign, const real *v, real *out, const Step *step, int n, int wide,
                                 int slot, int draw, double lower, double span, float mean, Part part) {
    int i = quad();
    if (i >= n) return;
    float s[4], value[4];
    load(s, sign, i, n, wide);
    load(value, v, i, n, wide);
    for (int j = 0; j < 4 && i + j < n; j++) {
        if (s[j] > 0) continue;
        float slope = mean;
        if (draw) { // unfused, to round as the CPU does
            u32 word = random_word(stream(step, slot), step->step, place(part, i + j));
            slope = (float)__dadd_rn(lower, __dmul_rn(word / 4294967296.0, span));
        }
        value[j] *= slope;
    }
    store(out, value, i, n, wide);
}

// out = v, times the channel's slope where x is below 0.
extern "C" __global__ void prelu(const real *x, const float *slope, const real *v, real *out, int n, Divisor channels) {
    int i = element();
    if (i < n) out[i] = x[i] < 0 ? v[i] * slope[i % channels] : (float)v[i];
}

// y = the largest of pieces neighbours.
extern "C" __global__ void maxout(const real *x, real *y, int n, int pieces) {
    int i = element();
    if (i >= n) return;
    x += (u64)i * pieces;
    float best = x[0];
    for (int j = 1; j < pieces; j++)
        if (x[j] > best) best = x[j];
    y[i] = best;
}

// dx = dy for the first of the largest pieces, 0 for the others; n values of dx.
extern "C" __global__ void maxout_grad(const real *x, const real *dy, real *dx, int n, Divisor pieces) {
    int i = element();
    if (i >= n) return;
    const real *own = x + i / pieces * pieces;
    int best = 0;
    for (int j = 1; j < pieces; j++)
        if (own[j] > own[best]) best = j;
    dx[i] = i % pieces == best ? (float)dy[i / pieces] : 0;
}

// v ← momentum·v − decay·w − rate·g; w ← w + v. Products are rounded by themselves, as on the CPU.
extern "C" __global__ void update(float *w, float *v, const float *g, const Step *step, int n, int wide, int slot) {
    int i = quad();
    const Rule *r = rule(step, slot);
    if (i >= n || r->frozen) return;
    float weight[4], velocity[4], grad[4];
    load(weight, w, i, n, wide);
    load(velocity, v, i, n, wide);
    load(grad, g, i, n, wide);
    for (int j = 0; j < 4; j++) {
        velocity[j] = __fmul_rn(step->momentum, velocity[j]) - __fmul_rn(r->decay, weight[j]) - __fmul_rn(r->rate, grad[j]);
        weight[j] += velocity[j];
    }
    store(v, velocity, i, n, wide);
    store(w, weight, i, n, wide);
}

// w ← w + share·(g − w): a running average.
extern "C" __global__ void average(float *w, const float *g, const Step *step, int n, int slot, float share) {
    int i = element();
    if (i < n && !rule(step, slot)->frozen) w[i] += __fmul_rn(share, g[i] - w[i]);
}

// e ← e + share·(w − e): an average of weights, which begins with those after the first step.
extern "C" __global__ void ema(float *e, const float *w, const Step *step, int n, float share) {
    int i = element();
    if (i < n) e[i] = step->step == 0 ? w[i] : e[i] + __fmul_rn(share, w[i] - e[i]);
}

// a ← scale·(a + b).
extern "C" __global__ void add(float *a, const float *b, int n, int wide, float scale) {
    int i = quad();
    if (i >= n) return;
    float v[4], u[4];
    load(v, a, i, n, wide);
    load(u, b, i, n, wide);
    for (int j = 0; j < 4; j++) v[j] = (v[j] + u[j]) * scale;
    store(a, v, i, n, wide);
}

// Copies count rows of n values whose starts lie strides apart.
extern "C" __global__ void copy_rows(const float *from, float *to, Divisor n, int count, u64 from_stride, u64 to_stride) {
    int i = element();
    if (i >= n * count) return;
    int row = i / n, column = i % n;
    to[row * to_stride + column] = from[row * from_stride + column];
}

// The loss, −log softmax(logits)[label], and its gradient: a block an image,
// whose threads add in pairs, in float64 as the CPU. A label outside the classes
// makes the loss NaN, which ends the run, and its image's gradient too.

#define THREADS 128

// reduced combines the threads' values in pairs, pairs of pairs and so on.
template <class F> static __device__ double reduced(double *values, double v, F f) {
    __syncthreads(); // values may still be read from the last time
    values[threadIdx.x] = v;
    for (int half = THREADS / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) values[threadIdx.x] = f(values[threadIdx.x], values[threadIdx.x + half]);
    }
    __syncthreads();
    return values[0];
}

static __device__ double nan_or_larger(double a, double b) { return a != a ? a : b != b || b > a ? b : a; }

static __device__ double log_sum_exp(double *values, const float *row, int classes) {
    double top = row[0];
    for (int c = threadIdx.x; c < classes; c += THREADS) top = nan_or_larger(top, row[c]);
    top = reduced(values, top, [](double a, double b) { return nan_or_larger(a, b); });
    double sum = 0;
    for (int c = threadIdx.x; c < classes; c += THREADS) sum += exp(row[c] - top);
    return top + log(reduced(values, sum, [](double a, double b) { return a + b; }));
}

static __device__ double not_a_number() { return __longlong_as_double(0x7ff8000000000000ll); }

extern "C" __global__ void softmax_losses(const float *logits, const float *labels, double *losses, int classes) {
    __shared__ double values[THREADS];
    const float *row = logits + (u64)blockIdx.x * classes;
    double z = log_sum_exp(values, row, classes);
    int label = (int)labels[blockIdx.x];
    if (threadIdx.x == 0) losses[blockIdx.x] = label < 0 || label >= classes ? not_a_number() : z - row[label];
}

// loss = the mean of the images' losses. One block.
extern "C" __global__ void mean_loss(const double *losses, float *loss, int batch) {
    __shared__ double values[THREADS];
    double sum = 0;
    for (int n = threadIdx.x; n < batch; n += THREADS) sum += losses[n];
    sum = reduced(values, sum, [](double a, double b) { return a + b; });
    if (threadIdx.x == 0) *loss = (float)(sum / batch);
}

extern "C" __global__ void softmax_grad(const float *logits, const float *labels, const float *dloss, float *out,
                                        int classes, int batch) {
    __shared__ double values[THREADS];
    const float *row = logits + (u64)blockIdx.x * classes;
    double z = log_sum_exp(values, row, classes);
    int label = (int)labels[blockIdx.x];
    if (label < 0 || label >= classes) z = not_a_number();
    for (int c = threadIdx.x; c < classes; c += THREADS)
        out[(u64)blockIdx.x * classes + c] = (float)(exp(row[c] - z) - (c == label)) * *dloss / batch;
}

static __device__ double plus(double a, double b) { return a + b; }

// The same of targets that are shares of the classes: Σ target·(log Σ exp − logit).
extern "C" __global__ void soft_target_losses(const float *logits, const float *targets, double *losses, int classes) {
    __shared__ double values[THREADS];
    const float *row = logits + (u64)blockIdx.x * classes, *q = targets + (u64)blockIdx.x * classes;
    double z = log_sum_exp(values, row, classes), sum = 0;
    for (int c = threadIdx.x; c < classes; c += THREADS) sum += __dmul_rn(q[c], z - row[c]);
    sum = reduced(values, sum, plus);
    if (threadIdx.x == 0) losses[blockIdx.x] = sum;
}

extern "C" __global__ void soft_target_grad(const float *logits, const float *targets, const float *dloss, float *out,
                                            int classes, int batch) {
    __shared__ double values[THREADS];
    const float *row = logits + (u64)blockIdx.x * classes, *q = targets + (u64)blockIdx.x * classes;
    double z = log_sum_exp(values, row, classes), whole = 0;
    for (int c = threadIdx.x; c < classes; c += THREADS) whole += q[c];
    whole = reduced(values, whole, plus);
    for (int c = threadIdx.x; c < classes; c += THREADS)
        out[(u64)blockIdx.x * classes + c] = (float)(__dmul_rn(exp(row[c] - z), whole) - q[c]) * *dloss / batch;
}

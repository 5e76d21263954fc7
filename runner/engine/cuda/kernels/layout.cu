// What stands between our tensors and NVIDIA's libraries: cuDNN wants filters as
// [out, kh, kw, in] where ours are [kh, kw, in, out], the same padding on both
// sides, channels in multiples of 4 or 8 for tensor cores, and bfloat16 operands
// as such. Each kernel reads and writes its operands once.

// y = x + bias, with rectify max(0, ·) of it. y may be x. wide: channels come in fours, and the addresses allow it.
template <int N, class T, class U>
static __device__ void finish_at(const T *x, const float *bias, U *y, int i, const Divisor &channels, int rectify) {
    float v[N], b[N] = {};
    load(v, x + i);
    if (bias) load(b, bias + i % channels);
    for (int j = 0; j < N; j++) {
        v[j] += b[j];
        if (rectify) v[j] = relu(v[j]);
    }
    store(y + i, v);
}

template <class T, class U>
static __device__ void finish(const T *x, const float *bias, U *y, int n, int wide, const Divisor &channels, int rectify) {
    int i = wide ? quad() : element();
    if (i >= n) return;
    if (wide)
        finish_at<4>(x, bias, y, i, channels, rectify);
    else
        finish_at<1>(x, bias, y, i, channels, rectify);
}

extern "C" __global__ void finish_float(const float *x, const float *bias, float *y, int n, int wide, Divisor channels, int rectify) {
    finish(x, bias, y, n, wide, channels, rectify);
}

extern "C" __global__ void finish_to_bf16(const float *x, const float *bias, bf16 *y, int n, int wide, Divisor channels, int rectify) {
    finish(x, bias, y, n, wide, channels, rectify);
}

extern "C" __global__ void finish_from_bf16(const bf16 *x, const float *bias, float *y, int n, int wide, Divisor channels, int rectify) {
    finish(x, bias, y, n, wide, channels, rectify);
}

extern "C" __global__ void finish_bf16(const bf16 *x, const float *bias, bf16 *y, int n, int wide, Divisor channels, int rectify) {
    finish(x, bias, y, n, wide, channels, rectify);
}

// Frame cuts [height, width, channels] out of images, from (top, left) on, which
// may lie outside: what the images lack is 0. A pixel of the cut is a square of
// fold × fold pixels, whose channels lie one behind the other.
struct Frame {
    Divisor height, width, channels, from_channels, fold;
    int from_height, from_width, top, left;
};

template <int N, class T, class U> static __device__ void frame_at(const T *x, U *y, int i, const Frame &f) {
    int c = i % f.channels, at = i / f.channels, line = at / f.width, image = line / f.height;
    int left = at % f.width * f.fold + f.left, top = line % f.height * f.fold + f.top;
    float v[N];
    for (int j = 0; j < N; j++) {
        int cell = (c + j) / f.from_channels, row = top + cell / f.fold, column = left + cell % f.fold;
        bool in = cell < f.fold * f.fold && row >= 0 && row < f.from_height && column >= 0 && column < f.from_width;
        v[j] = in ? (float)x[(((u64)image * f.from_height + row) * f.from_width + column) * f.from_channels + (c + j) % f.from_channels] : 0;
    }
    store(y + i, v);
}

// n is the number of values of all cuts; wide: their channels come in fours.
template <class T, class U> static __device__ void frame(const T *x, U *y, int n, int wide, const Frame &f) {
    int i = wide ? quad() : element();
    if (i >= n) return;
    if (wide)
        frame_at<4>(x, y, i, f);
    else
        frame_at<1>(x, y, i, f);
}

extern "C" __global__ void frame_float(const float *x, float *y, int n, int wide, Frame f) { frame(x, y, n, wide, f); }
extern "C" __global__ void frame_to_bf16(const float *x, bf16 *y, int n, int wide, Frame f) { frame(x, y, n, wide, f); }
extern "C" __global__ void frame_bf16(const bf16 *x, bf16 *y, int n, int wide, Frame f) { frame(x, y, n, wide, f); }
extern "C" __global__ void frame_from_bf16(const bf16 *x, float *y, int n, int wide, Frame f) { frame(x, y, n, wide, f); }

// Filters are turned tile by tile, so that both sides are read and written along
// their rows. cuDNN's have side × side cells of room channels for each of rows outputs,
// which are fold × fold cells of ours, of kernel × kernel, with in channels each. Of
// those a group of made outputs has own, and 0 for the others; groups that cuDNN is told of have all.
struct Filters {
    Divisor side, fold, in, room, own, made;
    int kernel, out, rows;
    __device__ int columns() const { return side * side * room; }
};

// place_of is where the value of cuDNN's output o and column is in ours, −1 if there is none.
static __device__ int place_of(const Filters &f, int column, int o) {
    int square = column / f.room, c = column % f.room, cell = c / f.in;
    c = c % f.in;
    int ky = square / f.side * f.fold + cell / f.fold, kx = square % f.side * f.fold + cell % f.fold;
    bool there = square < f.side * f.side && cell < f.fold * f.fold && ky < f.kernel && kx < f.kernel && o < f.out;
    return there && c / f.own == o / f.made ? ((ky * f.kernel + kx) * f.own + c % f.own) * f.out + o : -1;
}

#define SIDE 32

template <class T> static __device__ void to_krsc(float (*tile)[SIDE + 1], const float *w, T *to, const Filters &f) {
    int columns = f.columns(), tiles = (columns + SIDE - 1) / SIDE;
    int column0 = (int)blockIdx.x % tiles * SIDE, o0 = (int)blockIdx.x / tiles * SIDE, x = threadIdx.x % SIDE;
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int from = place_of(f, column0 + y, o0 + x);
        tile[y][x] = from >= 0 ? w[from] : 0;
    }
    __syncthreads();
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int column = column0 + x, o = o0 + y;
        if (column < columns && o < f.rows) to[(u64)o * columns + column] = tile[x][y];
    }
}

template <class T> static __device__ void from_krsc(float (*tile)[SIDE + 1], const T *w, float *to, const Filters &f) {
    int columns = f.columns(), tiles = (columns + SIDE - 1) / SIDE;
    int column0 = (int)blockIdx.x % tiles * SIDE, o0 = (int)blockIdx.x / tiles * SIDE, x = threadIdx.x % SIDE;
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int column = column0 + x, o = o0 + y;
        tile[y][x] = column < columns && o < f.rows ? (float)w[(u64)o * columns + column] : 0;
    }
    __syncthreads();
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int at = place_of(f, column0 + y, o0 + x);
        if (at >= 0) to[at] = tile[x][y];
    }
}

extern "C" __global__ void filters_to_krsc(const float *w, float *to, Filters f) {
    __shared__ float tile[SIDE][SIDE + 1];
    to_krsc(tile, w, to, f);
}

extern "C" __global__ void filters_to_krsc_bf16(const float *w, bf16 *to, Filters f) {
    __shared__ float tile[SIDE][SIDE + 1];
    to_krsc(tile, w, to, f);
}

extern "C" __global__ void filters_from_krsc(const float *w, float *to, Filters f) {
    __shared__ float tile[SIDE][SIDE + 1];
    from_krsc(tile, w, to, f);
}

extern "C" __global__ void filters_from_krsc_bf16(const bf16 *w, float *to, Filters f) {
    __shared__ float tile[SIDE][SIDE + 1];
    from_krsc(tile, w, to, f);
}

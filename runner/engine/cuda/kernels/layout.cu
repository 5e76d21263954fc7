// What stands between our tensors and NVIDIA's libraries: cuDNN wants filters as
// [out, kh, kw, in] where ours are [kh, kw, in, out], the same padding on both
// sides, channels in multiples of 4 or 8 for tensor cores, and bfloat16 operands
// as such. Each kernel reads and writes its operands once.

typedef u16 bf16;

// Rounds to the nearest bfloat16, ties to even, as the hardware does; a NaN stays one.
static __device__ bf16 narrow(float x) {
    u32 bits = __float_as_uint(x);
    if (x != x) return (bf16)(bits >> 16 | 0x40);
    return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static __device__ float widen(bf16 x) { return __uint_as_float((u32)x << 16); }

static __device__ void put(float *to, float x) { *to = x; }
static __device__ void put(bf16 *to, float x) { *to = narrow(x); }
static __device__ float get(const float *from) { return *from; }
static __device__ float get(const bf16 *from) { return widen(*from); }

// Four at once, or one. Four need an aligned address.
static __device__ void put(float *to, const float (&v)[1]) { *to = v[0]; }
static __device__ void put(float *to, const float (&v)[4]) { store(to, v); }
static __device__ void put(bf16 *to, const float (&v)[1]) { *to = narrow(v[0]); }
static __device__ void put(bf16 *to, const float (&v)[4]) {
    *(ushort4 *)to = make_ushort4(narrow(v[0]), narrow(v[1]), narrow(v[2]), narrow(v[3]));
}
static __device__ void get(float (&v)[4], const float *from) { load(v, from); }
static __device__ void get(float (&v)[4], const bf16 *from) {
    ushort4 q = *(const ushort4 *)from;
    v[0] = widen(q.x), v[1] = widen(q.y), v[2] = widen(q.z), v[3] = widen(q.w);
}

// to = x in bfloat16.
extern "C" __global__ void to_bf16(const float *x, bf16 *to, int n, int wide) {
    int i = quad();
    float v[4];
    if (i >= n) return;
    load(v, x, i, n, wide);
    if (wide && i + 4 <= n) {
        put(to + i, v);
        return;
    }
    for (int j = i; j < least(i + 4, n); j++) to[j] = narrow(v[j - i]);
}

// y = x + bias, with rectify max(0, ·) of it. y may be x. wide: channels come in fours, and the addresses allow it.
template <class T>
static __device__ void finish(const T *x, const float *bias, float *y, int n, int wide, const Divisor &channels, int rectify) {
    int i = wide ? quad() : element();
    if (i >= n) return;
    int c = i % channels;
    if (!wide) {
        float v = get(x + i) + (bias ? bias[c] : 0);
        y[i] = rectify ? relu(v) : v;
        return;
    }
    float v[4], b[4] = {};
    get(v, x + i);
    if (bias) load(b, bias + c);
    for (int j = 0; j < 4; j++) {
        v[j] += b[j];
        if (rectify) v[j] = relu(v[j]);
    }
    store(y + i, v);
}

extern "C" __global__ void finish_float(const float *x, const float *bias, float *y, int n, int wide, Divisor channels, int rectify) {
    finish(x, bias, y, n, wide, channels, rectify);
}

extern "C" __global__ void finish_bf16(const bf16 *x, const float *bias, float *y, int n, int wide, Divisor channels, int rectify) {
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
        v[j] = in ? get(x + (((u64)image * f.from_height + row) * f.from_width + column) * f.from_channels + (c + j) % f.from_channels) : 0;
    }
    put(y + i, v);
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
extern "C" __global__ void frame_from_bf16(const bf16 *x, float *y, int n, int wide, Frame f) { frame(x, y, n, wide, f); }

// Filters are turned tile by tile, so that both sides are read and written along
// their rows. cuDNN's have side × side cells of room channels for each output,
// which are fold × fold cells of ours, of kernel × kernel, with in channels each.
struct Filters {
    Divisor side, fold, in, room;
    int kernel, out;
    __device__ int columns() const { return side * side * room; }
};

// row is where a column of cuDNN's is in ours, −1 if there is nothing.
static __device__ int row(const Filters &f, int column) {
    int square = column / f.room, c = column % f.room, cell = c / f.in;
    int ky = square / f.side * f.fold + cell / f.fold, kx = square % f.side * f.fold + cell % f.fold;
    return square < f.side * f.side && cell < f.fold * f.fold && ky < f.kernel && kx < f.kernel ? (ky * f.kernel + kx) * f.in + c % f.in : -1;
}

#define SIDE 32

template <class T> static __device__ void to_krsc(float (*tile)[SIDE + 1], const float *w, T *to, const Filters &f) {
    int columns = f.columns(), tiles = (columns + SIDE - 1) / SIDE;
    int column0 = (int)blockIdx.x % tiles * SIDE, o0 = (int)blockIdx.x / tiles * SIDE, x = threadIdx.x % SIDE;
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int from = row(f, column0 + y), o = o0 + x;
        tile[y][x] = from >= 0 && o < f.out ? w[(u64)from * f.out + o] : 0;
    }
    __syncthreads();
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int column = column0 + x, o = o0 + y;
        if (column < columns && o < f.out) put(to + (u64)o * columns + column, tile[x][y]);
    }
}

template <class T> static __device__ void from_krsc(float (*tile)[SIDE + 1], const T *w, float *to, const Filters &f) {
    int columns = f.columns(), tiles = (columns + SIDE - 1) / SIDE;
    int column0 = (int)blockIdx.x % tiles * SIDE, o0 = (int)blockIdx.x / tiles * SIDE, x = threadIdx.x % SIDE;
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int column = column0 + x, o = o0 + y;
        tile[y][x] = column < columns && o < f.out ? get(w + (u64)o * columns + column) : 0;
    }
    __syncthreads();
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int at = row(f, column0 + y), o = o0 + x;
        if (at >= 0 && o < f.out) to[(u64)at * f.out + o] = tile[x][y];
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

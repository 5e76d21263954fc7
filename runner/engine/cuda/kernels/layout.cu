// What stands between our tensors and NVIDIA's libraries: cuDNN wants filters as
// [out, kh, kw, in] where ours are [kh, kw, in, out], the same padding on both
// sides, channels in multiples of 4 or 8 for tensor cores, and bfloat16 operands
// as such. Each kernel reads and writes its operands once.

typedef unsigned short bf16;

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

// to = x in bfloat16.
extern "C" __global__ void to_bf16(const float *x, bf16 *to, int n, int wide) {
    int i = quad();
    float v[4];
    if (i >= n) return;
    load(v, x, i, n, wide);
    if (wide && i + 4 <= n) {
        *(ushort4 *)(to + i) = make_ushort4(narrow(v[0]), narrow(v[1]), narrow(v[2]), narrow(v[3]));
        return;
    }
    for (int j = i; j < least(i + 4, n); j++) to[j] = narrow(v[j - i]);
}

// y = x + bias, with rectify max(0, ·) of it. y may be x.
template <class T> static __device__ void finish(const T *x, const float *bias, float *y, int n, int channels, int rectify) {
    int i = quad();
    if (i >= n) return;
    for (int j = i; j < least(i + 4, n); j++) {
        float v = get(x + j) + (bias ? bias[j % channels] : 0);
        y[j] = rectify ? relu(v) : v;
    }
}

extern "C" __global__ void finish_float(const float *x, const float *bias, float *y, int n, int channels, int rectify) {
    finish(x, bias, y, n, channels, rectify);
}

extern "C" __global__ void finish_bf16(const bf16 *x, const float *bias, float *y, int n, int channels, int rectify) {
    finish(x, bias, y, n, channels, rectify);
}

// Frame cuts [height, width, channels] out of images, from (top, left) on, which
// may lie outside: what the images lack is 0. n is the number of values of all cuts.
struct Frame {
    int from_height, from_width, from_channels, height, width, channels, top, left;
};

template <class T, class U> static __device__ void frame(const T *x, U *y, int n, const Frame &f) {
    int i = element();
    if (i >= n) return;
    int c = i % f.channels, at = i / f.channels;
    int column = at % f.width + f.left, row = at / f.width % f.height + f.top, image = at / (f.width * f.height);
    bool in = row >= 0 && row < f.from_height && column >= 0 && column < f.from_width && c < f.from_channels;
    put(y + i, in ? get(x + (((u64)image * f.from_height + row) * f.from_width + column) * f.from_channels + c) : 0);
}

extern "C" __global__ void frame_float(const float *x, float *y, int n, Frame f) { frame(x, y, n, f); }
extern "C" __global__ void frame_to_bf16(const float *x, bf16 *y, int n, Frame f) { frame(x, y, n, f); }
extern "C" __global__ void frame_from_bf16(const bf16 *x, float *y, int n, Frame f) { frame(x, y, n, f); }

// Filters are turned tile by tile, so that both sides are read and written along
// their rows. cells is kh·kw; in channels become room of them, or come from so many.
#define SIDE 32

template <class T>
static __device__ void to_krsc(float (*tile)[SIDE + 1], const float *w, T *to, int cells, int in, int room, int out) {
    int columns = cells * room, tiles = (columns + SIDE - 1) / SIDE;
    int column0 = (int)blockIdx.x % tiles * SIDE, o0 = (int)blockIdx.x / tiles * SIDE;
    int x = threadIdx.x % SIDE;
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int column = column0 + y, cell = column / room, c = column % room, o = o0 + x;
        tile[y][x] = column < columns && c < in && o < out ? w[(u64)(cell * in + c) * out + o] : 0;
    }
    __syncthreads();
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int column = column0 + x, o = o0 + y;
        if (column < columns && o < out) put(to + (u64)o * columns + column, tile[x][y]);
    }
}

template <class T>
static __device__ void from_krsc(float (*tile)[SIDE + 1], const T *w, float *to, int cells, int in, int room, int out) {
    int columns = cells * room, tiles = (columns + SIDE - 1) / SIDE;
    int column0 = (int)blockIdx.x % tiles * SIDE, o0 = (int)blockIdx.x / tiles * SIDE;
    int x = threadIdx.x % SIDE;
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int column = column0 + x, o = o0 + y;
        tile[y][x] = column < columns && o < out ? get(w + (u64)o * columns + column) : 0;
    }
    __syncthreads();
    for (int y = threadIdx.x / SIDE; y < SIDE; y += blockDim.x / SIDE) {
        int column = column0 + y, cell = column / room, c = column % room, o = o0 + x;
        if (column < columns && c < in && o < out) to[(u64)(cell * in + c) * out + o] = tile[x][y];
    }
}

extern "C" __global__ void filters_to_krsc(const float *w, float *to, int cells, int in, int room, int out) {
    __shared__ float tile[SIDE][SIDE + 1];
    to_krsc(tile, w, to, cells, in, room, out);
}

extern "C" __global__ void filters_to_krsc_bf16(const float *w, bf16 *to, int cells, int in, int room, int out) {
    __shared__ float tile[SIDE][SIDE + 1];
    to_krsc(tile, w, to, cells, in, room, out);
}

extern "C" __global__ void filters_from_krsc(const float *w, float *to, int cells, int in, int room, int out) {
    __shared__ float tile[SIDE][SIDE + 1];
    from_krsc(tile, w, to, cells, in, room, out);
}

extern "C" __global__ void filters_from_krsc_bf16(const bf16 *w, float *to, int cells, int in, int room, int out) {
    __shared__ float tile[SIDE][SIDE + 1];
    from_krsc(tile, w, to, cells, in, room, out);
}

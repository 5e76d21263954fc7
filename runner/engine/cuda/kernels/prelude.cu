// What every source starts with. It is compiled by NVRTC, which needs no header,
// and for tests by a C++ compiler behind a shim of threadIdx, __shared__ and the like.
//
// All tensors are NHWC: threads of a warp take neighbouring channels, so their
// loads and stores are whole lines of memory. Activations and their gradients are
// real, which is float32 or bfloat16, a source being compiled for each; parameters,
// their gradients, statistics and all arithmetic are float32. No kernel adds to memory
// atomically; every sum has one order, which the shapes alone decide.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// A Divisor divides what is not negative by a number that all threads share: by a
// multiplication, an addition and a shift, where dividing takes some thirty
// instructions (Granlund and Montgomery 1994, section 4). divisor of kernels.go makes it.
struct Divisor {
    u32 by, magic, shift;
    __device__ operator int() const { return (int)by; }
};

static __device__ int operator/(int n, const Divisor &d) { return (int)((__umulhi((u32)n, d.magic) + (u32)n) >> d.shift); }
static __device__ int operator%(int n, const Divisor &d) { return n - n / d * (int)d; }

// bf16 is a float32 without the last 16 bits. Stored into, it rounds to the
// nearest, ties to even, as the hardware does; a NaN stays one.
struct bf16 {
    u16 bits;
    __device__ operator float() const { return __uint_as_float((u32)bits << 16); }
    __device__ bf16 &operator=(float x) {
        u32 b = __float_as_uint(x);
        bits = (u16)(x != x ? b >> 16 | 0x40 : (b + 0x7fff + (b >> 16 & 1)) >> 16);
        return *this;
    }
};

typedef REAL real;

// Step is the block that is rewritten before every run, so that launches are
// constant. Slots follow it: rates of a parameter, or the key of a random stream.
struct Step {
    u64 step;
    float momentum;
    u32 dropout_off;
};

struct Rule {
    float rate, decay;
    u32 frozen;
    float correction; // of Adam's root
};

struct Stream {
    u32 key[2], unused[2];
};

static __device__ const Rule *rule(const Step *step, int slot) { return (const Rule *)(step + 1) + slot; }
static __device__ const Stream *stream(const Step *step, int slot) { return (const Stream *)(step + 1) + slot; }

// Words are four random words: Philox4x32-10 of the counter (index, step) under a
// stream's key (Salmon et al. 2011). The same bits as package random's.
struct Words {
    u32 word[4];
};

static __device__ Words philox(const Stream *s, u64 step, u64 index) {
    u32 c0 = (u32)index, c1 = (u32)(index >> 32), c2 = (u32)step, c3 = (u32)(step >> 32);
    u32 k0 = s->key[0], k1 = s->key[1];
    for (int round = 0; round < 10; round++) {
        u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
        u32 n0 = (u32)(p1 >> 32) ^ c1 ^ k0, n2 = (u32)(p0 >> 32) ^ c3 ^ k1;
        c1 = (u32)p1, c3 = (u32)p0, c0 = n0, c2 = n2;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

static __device__ u32 random_word(const Stream *s, u64 step, u64 index) { return philox(s, step, index / 4).word[index % 4]; }

// Part says where a piece of a layer's activations lies in the whole: the word
// of an activation is that of its place there, see graph.Part.
struct Part {
    Divisor channels;   // of the piece
    int plane;          // of one image: height × width
    int image, channel; // where the piece starts
    int whole;          // channels of the whole layer
};

static __device__ u64 place(const Part &p, int i) {
    u64 pixel = (u64)p.image * p.plane + i / p.channels;
    return pixel * p.whole + p.channel + i % p.channels;
}

// relu keeps a NaN, as the CPU does.
static __device__ float relu(float x) { return x > 0 || x != x ? x : 0; }

// Four neighbouring values, or one, in one access. Four need an aligned address.
template <class T> static __device__ void load(float (&v)[1], const T *x) { v[0] = *x; }
static __device__ void load(float (&v)[4], const float *x) {
    float4 q = *(const float4 *)x;
    v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
}
static __device__ void load(float (&v)[4], const bf16 *x) {
    ushort4 q = *(const ushort4 *)x;
    v[0] = bf16{q.x}, v[1] = bf16{q.y}, v[2] = bf16{q.z}, v[3] = bf16{q.w};
}
template <class T> static __device__ void store(T *y, const float (&v)[1]) { *y = v[0]; }
static __device__ void store(float *y, const float (&v)[4]) { *(float4 *)y = make_float4(v[0], v[1], v[2], v[3]); }
static __device__ void store(bf16 *y, const float (&v)[4]) {
    bf16 q[4];
    for (int j = 0; j < 4; j++) q[j] = v[j];
    *(ushort4 *)y = make_ushort4(q[0].bits, q[1].bits, q[2].bits, q[3].bits);
}

// Four values from i on of n, in one access where the addresses allow it (wide) and all four exist.
template <class T> static __device__ void load(float (&v)[4], const T *x, int i, int n, int wide) {
    if (wide && i + 4 <= n) return load(v, x + i);
    for (int j = 0; j < 4; j++) v[j] = i + j < n ? (float)x[i + j] : 0;
}

template <class T> static __device__ void store(T *y, const float (&v)[4], int i, int n, int wide) {
    if (wide && i + 4 <= n) return store(y + i, v);
    for (int j = 0; j < 4; j++)
        if (i + j < n) y[i + j] = v[j];
}

// quad is the first of the four values of a thread of an elementwise kernel.
static __device__ int quad() { return 4 * (int)(blockIdx.x * blockDim.x + threadIdx.x); }

// element is the one value of a thread that has only one.
static __device__ int element() { return (int)(blockIdx.x * blockDim.x + threadIdx.x); }

static __device__ int least(int a, int b) { return a < b ? a : b; }
static __device__ int most(int a, int b) { return a > b ? a : b; }

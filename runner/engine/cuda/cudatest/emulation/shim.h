// What CUDA C has beyond C++, on one thread of the host: the threads of a block
// are fibres that run one after the other from barrier to barrier. That is enough
// to compute the same values, and it sees what a GPU does not report: a barrier
// that some threads of a block miss. Shared memory is filled with NaN before each block.

#include <csetjmp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static __attribute__((section("gpu_shared")))
#define __align__(n) __attribute__((aligned(n)))

struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

struct alignas(16) float4 { float x, y, z, w; };
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct alignas(8) ushort4 { unsigned short x, y, z, w; };
static inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) { return {x, y, z, w}; }

static inline unsigned __float_as_uint(float x) { unsigned bits; memcpy(&bits, &x, 4); return bits; }
static inline float __uint_as_float(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }

// Compiled without contraction of a·b + c, every product is rounded by itself.
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __longlong_as_double(long long bits) { double v; memcpy(&v, &bits, 8); return v; }

static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }

namespace fibres {

struct Fibre {
    ucontext_t start;
    jmp_buf at;
    bool started, waiting, done;
    dim3 index;
};

static std::vector<Fibre> all;
static std::vector<char> stacks;
static const size_t stack = 64 << 10;
static jmp_buf scheduler;
static Fibre *running;
static void (*body)(void *);
static void *argument;

// A fibre outlives the block: when its thread is done it waits for the next block's.
static void loop() {
    for (;;) {
        body(argument);
        running->done = true;
        if (!_setjmp(running->at)) _longjmp(scheduler, 1);
    }
}

static __attribute__((noinline)) void barrier() {
    running->waiting = true;
    if (!_setjmp(running->at)) _longjmp(scheduler, 1);
}

static __attribute__((noinline)) void resume(Fibre &f) {
    running = &f;
    threadIdx = f.index;
    if (_setjmp(scheduler)) return;
    if (f.started) _longjmp(f.at, 1);
    f.started = true;
    setcontext(&f.start);
}

static void prepare(size_t threads) {
    static const size_t most = 1024;
    if (all.empty()) {
        all.resize(most);
        stacks.resize(most * stack);
    }
    for (size_t i = 0; i < threads; i++) {
        Fibre &f = all[i];
        if (!f.started) {
            getcontext(&f.start);
            f.start.uc_stack.ss_sp = &stacks[i * stack];
            f.start.uc_stack.ss_size = stack;
            makecontext(&f.start, loop, 0);
        }
    }
}

// block runs one block's threads, in order or backwards. It gives what is wrong, or null.
static const char *block(bool backwards) {
    size_t threads = (size_t)blockDim.x * blockDim.y * blockDim.z;
    for (size_t i = 0; i < threads; i++) {
        all[i].waiting = all[i].done = false;
        all[i].index = {unsigned(i % blockDim.x), unsigned(i / blockDim.x % blockDim.y), unsigned(i / blockDim.x / blockDim.y)};
    }
    for (;;) {
        size_t waiting = 0;
        for (size_t i = 0; i < threads; i++) {
            Fibre &f = all[backwards ? threads - 1 - i : i];
            if (f.done) continue;
            f.waiting = false;
            resume(f);
            waiting += f.waiting;
        }
        if (!waiting) return nullptr;
        if (waiting != threads) return "some threads of a block wait at a barrier that others do not come to";
    }
}

} // namespace fibres

// What the compiler calls before a load or store at an address that its type may not
// have. It ends the thread: the host's own instructions would fault. Its fibre begins anew.
static const void *misaligned;
extern "C" void __ubsan_handle_type_mismatch_v1(void *, void *address) {
    misaligned = address;
    fibres::running->started = false, fibres::running->done = true;
    _longjmp(fibres::scheduler, 1);
}

static inline void __syncthreads() { fibres::barrier(); }

// A Function runs a kernel with pointers to its parameters; kinds are two characters for each:
// f float, d double, s struct, i the others, and '0' plus the number of 4-byte words.
struct Function {
    const char *name;
    const char *kinds;
    void (*run)(void **params);
};

template <class T> constexpr char kind() {
    return std::is_same<T, float>::value ? 'f' : std::is_same<T, double>::value ? 'd' : std::is_class<T>::value ? 's' : 'i';
}

template <auto f> struct Kernel;
template <class... A, void (*f)(A...)> struct Kernel<f> {
    static const char *kinds() {
        static char text[2 * sizeof...(A) + 1], *end = text;
        if (end == text) ((*end++ = kind<A>(), *end++ = '0' + sizeof(A) / 4), ...);
        return text;
    }
    template <size_t... i> static void call(void **params, std::index_sequence<i...>) { f(*(A *)params[i]...); }
    static void run(void **params) { call(params, std::index_sequence_for<A...>{}); }
};

#define KERNEL(space, f) Function{#f, Kernel<space::f>::kinds(), Kernel<space::f>::run}

// Where the outputs of several layers come together. Each kernel reads and writes every
// operand once.

// y = a + b + c + d, the last two where they are not 0, with rectify max(0, ·) of it. y
// may be any of them.
extern "C" __global__ void plus(const real *a, const real *b, const real *c, const real *d, real *y, int n, int wide,
                                int rectify) {
    int i = quad();
    if (i >= n) return;
    float v[4], u[4];
    load(v, a, i, n, wide);
    const real *more[] = {b, c, d};
    for (int k = 0; k < 3; k++) {
        if (!more[k]) continue;
        load(u, more[k], i, n, wide);
        for (int j = 0; j < 4; j++) v[j] += u[j];
    }
    if (rectify)
        for (int j = 0; j < 4; j++) v[j] = relu(v[j]);
    store(y, v, i, n, wide);
}

// Copies channels of every pixel, n values in all: from channel first of x, which has
// pitch, to channel to_first of y, which has to_pitch.
extern "C" __global__ void copy_channels(const real *x, real *y, int n, Divisor channels, int pitch, int first,
                                         int to_pitch, int to_first) {
    int i = element();
    if (i >= n) return;
    u64 pixel = i / channels;
    int c = i % channels;
    y[pixel * to_pitch + to_first + c] = (float)x[pixel * pitch + first + c];
}

// Shortcut is the geometry of a padding shortcut, in being larger in rows and columns
// by a stride. first is the first channel of what is made.
struct Shortcut {
    Divisor in_height, in_width, in_channels, out_height, out_width, out_channels, stride;
    int first;
};

// y = every stride-th pixel of x, with zeros behind its channels; n values of y.
extern "C" __global__ void pad(const real *x, real *y, int n, Shortcut s) {
    int i = element();
    if (i >= n) return;
    int c = s.first + i % s.out_channels, at = i / s.out_channels, line = at / s.out_width;
    int column = at % s.out_width * s.stride, row = line / s.out_height * s.in_height + line % s.out_height * s.stride;
    y[i] = c < s.in_channels ? (float)x[((u64)row * s.in_width + column) * s.in_channels + c] : 0;
}

// dx = dy where pad read x, elsewhere 0; n values of dx.
extern "C" __global__ void pad_grad(const real *dy, real *dx, int n, Shortcut s) {
    int i = element();
    if (i >= n) return;
    int c = s.first + i % s.in_channels, at = i / s.in_channels, line = at / s.in_width;
    int column = at % s.in_width, row = line % s.in_height;
    bool read = column % s.stride == 0 && row % s.stride == 0;
    int to_row = line / s.in_height * s.out_height + row / s.stride;
    dx[i] = read ? (float)dy[((u64)to_row * s.out_width + column / s.stride) * s.out_channels + c] : 0;
}

// y = x times the number of its image's channel; n values, area in an image.
extern "C" __global__ void scale(const real *x, const real *factor, real *y, int n, Divisor channels, Divisor area) {
    int i = element();
    if (i < n) y[i] = (float)x[i] * (float)factor[i / area * channels + i % channels];
}

// ds = the sum of x·dy over an image's pixels; n values of ds.
extern "C" __global__ void scale_factor_grad(const real *x, const real *dy, real *ds, int n, Divisor channels, int pixels) {
    int i = element();
    if (i >= n) return;
    u64 first = (u64)(i / channels) * pixels * channels + i % channels;
    float sum = 0;
    for (int p = 0; p < pixels; p++) sum += (float)x[first + (u64)p * channels] * (float)dy[first + (u64)p * channels];
    ds[i] = sum;
}

// The end of the translation unit, after the sources and their table of functions.

extern char __start_gpu_shared[], __stop_gpu_shared[];

static char refusal[256];

// The kinds of a function's parameters, null if there is no such function.
extern "C" const char *ablate_kinds(const char *name) {
    for (const Function &f : functions)
        if (!strcmp(f.name, name)) return f.kinds;
    return nullptr;
}

// Runs a launch. It gives null, or what is wrong with it.
extern "C" const char *ablate_emulate(const char *name, const char *kinds, const unsigned *grid, const unsigned *block,
                                      void **params, int backwards) {
    for (const Function &f : functions) {
        if (strcmp(f.name, name)) continue;
        if (strcmp(f.kinds, kinds)) {
            snprintf(refusal, sizeof refusal, "%s takes parameters of kinds %s, not %s", name, f.kinds, kinds);
            return refusal;
        }
        gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
        size_t threads = (size_t)block[0] * block[1] * block[2], blocks = (size_t)grid[0] * grid[1] * grid[2];
        if (threads == 0 || threads > 1024) return "a block has 1 to 1024 threads";
        fibres::prepare(threads);
        static std::pair<const Function *, void **> call;
        call = {&f, params};
        fibres::argument = &call;
        misaligned = nullptr;
        fibres::body = [](void *c) {
            auto *call = (std::pair<const Function *, void **> *)c;
            call->first->run(call->second);
        };
        for (size_t i = 0; i < blocks; i++) {
            size_t b = backwards ? blocks - 1 - i : i;
            blockIdx = {unsigned(b % grid[0]), unsigned(b / grid[0] % grid[1]), unsigned(b / grid[0] / grid[1])};
            memset(__start_gpu_shared, 0xff, __stop_gpu_shared - __start_gpu_shared);
            const char *wrong = fibres::block(backwards);
            if (misaligned) {
                snprintf(refusal, sizeof refusal, "%s: misaligned address %p", name, misaligned);
                return refusal;
            }
            if (wrong) {
                snprintf(refusal, sizeof refusal, "%s: %s", name, wrong);
                return refusal;
            }
        }
        return nullptr;
    }
    snprintf(refusal, sizeof refusal, "no function %s", name);
    return refusal;
}

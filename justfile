# Recipes for work on ablate. `just` lists them.

[private]
default:
    @just --list --unsorted

# Train the small study and print its table.
run study="configs/quickstart.yaml":
    go run . run {{study}}

# All tests, three minutes.
test:
    go test ./...

# The tests with the long sweeps.
test-all:
    go test -tags long -timeout 30m ./...

# What must pass before a change lands.
ci:
    .ci/run

# Formatting, vet, staticcheck, dead code.
lint:
    test -z "$(gofmt -l .)"
    go vet ./...
    go vet -tags long ./...
    go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
    scripts/deadcode.sh

# Write again what tests compare with: tables, pages, scripts of the command line, the keys in docs/studies.md.
golden:
    go test ./configs ./reports/render ./reports/page ./cmd -run 'StudiesPage|Golden|Several|Scripts' -update

# Run the commands of README.md and docs/*.md again, and write what they print.
docs:
    go test . -run TestDocuments -timeout 30m -update

# Run every fuzz target for SECONDS.
fuzz seconds="30":
    scripts/fuzz.sh {{seconds}}

# Attack the built program with malformed studies, records and data, signals, kills and full disks; Linux, ten minutes.
attack *args="":
    go run ./scripts/attack {{args}}

# Which statements the tests reach, by function and as a page.
cover:
    go test -coverprofile=cover.out ./...
    go tool cover -func=cover.out | tail -1
    go tool cover -html=cover.out -o cover.html

# Generate the assembly again.
asm:
    cd runner/engine/cpu/_asm && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg cpu

# The simulated figures of docs/reading-a-table.md; `just simulate -update` writes them.
simulate *args="":
    go test -tags long -count 1 -run TestSimulate -v ./reports/stats {{args}}

# Kernel benchmarks, in benchstat's format.
bench:
    go test -run '^$' -bench . -count 5 ./runner/engine/cpu

# Benchmarks of the commit OLD beside those of this tree, alternating, with benchstat.
compare old package="./runner/engine/cpu" bench="." rounds="6":
    scripts/compare.sh {{old}} {{package}} {{quote(bench)}} {{rounds}}

# ablate report on a thousand runs: seconds and memory.
bench-report:
    go test -run '^$' -bench ReportThousandRuns -count 5 ./cmd

# Runs at the same time on equal shares of the cores, against one share alone; the machine should do nothing else.
bench-pool *args="":
    scripts/bench-pool.sh {{args}}

# What ablate runs, status and report take on the records of 10,000 runs: seconds, CPU, memory.
many-runs *args="":
    go run ./scripts/manyruns {{args}}

# Submit, preempt, crash and cancel on a real Slurm of three nodes; needs root and Debian's Slurm.
slurm:
    go test -count 1 -tags long -timeout 30m -run TestOnSlurm -v ./runner/cluster

# Evict, kill and cancel on a real control plane of Kubernetes, built from its modules; needs root, builds ten minutes.
kubernetes:
    cd scripts/kubernetes && go test -count 1 -timeout 30m -v .

# The Jobs that ablate submit --kubernetes prints, decoded strictly into Kubernetes' own types.
kubernetes-types:
    go test -count 1 -tags long -run TestKubernetesTypes ./runner/cluster

# ablate serve on 1,000 and 10,000 runs: time to open pages, and to draw them again; memory; 50 open pages' share of a core.
bench-serve:
    GOGC=400 go test -run '^$' -bench . -benchtime 3x ./serve

# Train quickstart and take the screenshots of README.md and docs/serving.md; needs chromium.
screenshots dir="/tmp/ablate-screenshots":
    go build -o {{dir}}/ablate .
    cd {{dir}} && ./ablate run quickstart && ./ablate predict quickstart/baseline/1 --features
    ABLATE_RUNS={{dir}}/runs ABLATE_SCREENSHOTS={{justfile_directory()}}/docs \
        go test -count 1 -tags long -run TestScreenshots ./serve

# A training step beside PyTorch's in its fastest mode, alternating. Python needs PyTorch 2.
peer *args="":
    scripts/peer.py {{args}}

# Decoding and resizing photographs beside Pillow and torchvision, which must be installed.
peer-decode *args="":
    scripts/peer_decode.py {{args}}

# NVIDIA's libraries as Python wheels, to test against where there is no GPU (2 GB).
cuda-libs dir:
    python3 -m pip install --no-deps --upgrade --target {{dir}} nvidia-cuda-nvrtc nvidia-cublas nvidia-cudnn-cu13 \
        nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl
    PYTHONPATH={{dir}} go test -count 1 -v -run 'Libraries|Signatures|NVRTC' \
        ./runner/engine/cuda/nvidia ./runner/engine/cuda/kernels

# The programs that check a GPU as one archive, for a machine without Go.
gpu-check-build file="gpucheck.tar.gz":
    go run ./scripts/gpucheck build {{file}}

# The check of this machine's GPU in one call of under ten minutes; the last line names its report.
gpu-check *args="":
    go run ./scripts/gpucheck build /tmp/gpucheck.tar.gz
    tar xf /tmp/gpucheck.tar.gz -C /tmp
    /tmp/gpucheck/gpucheck run {{args}}

# The check rehearsed on an emulated GPU, with what may be wrong with a real one.
gpu-check-rehearsal:
    go test -count 1 -tags long -run TestRehearsal -v ./scripts/gpucheck

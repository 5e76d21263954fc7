# The commands of the README and those for work on ablate itself.

# Train the small study and print its table.
run study="configs/quickstart.yaml":
    go run . run {{study}}

# All tests.
test:
    go test ./...

# Kernel benchmarks, in benchstat's format.
bench:
    go test -run '^$' -bench . -count 5 ./runner/engine/cpu

# ablate report on a thousand runs: seconds and memory.
bench-report:
    go test -run '^$' -bench ReportThousandRuns -count 5 ./cmd

# A training step beside the peer's, alternating: PEER is a script that times PyTorch.
peer peer="../shared/bench/torch_peer.py" *args="":
    scripts/peer.py {{peer}} {{args}}

# Decoding and resizing photographs beside Pillow and torchvision, which must be installed.
peer-decode *args="":
    scripts/peer_decode.py {{args}}

# NVIDIA's libraries as Python wheels, to test against where there is no GPU (2 GB).
cuda-libs dir:
    python3 -m pip install --no-deps --upgrade --target {{dir}} nvidia-cuda-nvrtc nvidia-cublas nvidia-cudnn-cu13 nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl
    PYTHONPATH={{dir}} go test -count 1 -v -run 'Libraries|Signatures|NVRTC' ./runner/engine/cuda/nvidia ./runner/engine/cuda/kernels

# The programs that check a GPU, for a machine without Go.
gpu-check-build dir:
    scripts/gpu-check.sh build {{dir}}

# The check of this machine's GPU in one call of under ten minutes. PEER times PyTorch.
gpu-check peer="../shared/bench/torch_peer.py" dir="/tmp/ablate-gpu-check":
    scripts/gpu-check.sh build {{dir}}
    {{dir}}/gpu-check.sh run {{dir}} {{peer}}

# Formatting, vet, staticcheck.
lint:
    test -z "$(gofmt -l .)"
    go vet ./...
    go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# Generate the assembly anew.
asm:
    cd runner/engine/cpu/_asm && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg cpu

# What must pass before a change lands.
ci:
    .ci/run

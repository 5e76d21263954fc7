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

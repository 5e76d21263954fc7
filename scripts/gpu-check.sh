#!/usr/bin/env bash
# What needs a GPU to be seen, in one call of under ten minutes: the suite of every
# device, runs that follow the CPU's, equal bits, speed beside PyTorch on the same GPU.
#
#     scripts/gpu-check.sh build DIR          where Go is: makes the programs
#     scripts/gpu-check.sh run DIR [PEER]     where the GPU is: needs the driver, NVIDIA's
#                                             libraries and the programs, no Go, no network
#
# PEER is a script that times PyTorch, see scripts/peer_gpu.py. A part that fails
# is named at the end, and the exit code is 1; the others run all the same.
set -uo pipefail

build() {
  local dir
  mkdir -p "$1" && dir=$(cd "$1" && pwd) || exit
  cd "$(dirname "$0")/.." || exit
  export CGO_ENABLED=0
  go build -o "$dir/ablate" . &&
    go test -c -o "$dir/cuda.test" ./runner/engine/cuda &&
    go test -c -o "$dir/kernels.test" ./runner/engine/cuda/kernels &&
    go test -c -o "$dir/nvidia.test" ./runner/engine/cuda/nvidia &&
    go test -c -o "$dir/runner.test" ./runner &&
    cp scripts/gpu-check.sh scripts/peer_gpu.py "$dir"
}

failed=()
part() { # NAME COMMAND...: runs it for at most 200 seconds
  local name=$1 start=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  timeout 200 "$@" || failed+=("$name")
  printf -- '-- %d s\n' $((SECONDS - start))
}

# Trains the quickstart twice, the second time stopped on the way: the weights must be equal.
twice() {
  local ablate=$1 scratch=$2 run
  "$ablate" run quickstart --device cuda:0 --runs "$scratch/whole" || return
  timeout --signal=INT 6 "$ablate" run quickstart --device cuda:0 --runs "$scratch/stopped"
  "$ablate" run quickstart --device cuda:0 --runs "$scratch/stopped" >"$scratch/log" || return
  for run in baseline/seed-1 no-lrn/seed-2 one-gpu/seed-3; do
    cmp "$scratch/whole/quickstart/$run/checkpoint.safetensors" "$scratch/stopped/quickstart/$run/checkpoint.safetensors" || return
  done
  echo "two runs, one of them stopped on the way: the same weights"
}

run() {
  local dir scratch
  dir=$(cd "$1" && pwd) || exit
  scratch=$(mktemp -d) || exit
  trap 'rm -rf "$scratch"' EXIT
  export ABLATE_TEST_DEVICE=cuda:0
  part doctor "$dir/ablate" doctor
  part libraries "$dir/nvidia.test" -test.v -test.run Libraries
  part "compiler" "$dir/kernels.test" -test.run NVRTC
  part "suite of every device" "$dir/cuda.test" -test.run GPU -test.v
  part "the CPU's weights, equal bits" "$dir/runner.test" -test.run 'GPU|Precisions' -test.v
  export -f twice
  part "stopped and resumed" bash -c 'twice "$@"' twice "$dir/ablate" "$scratch"
  part "kernel by kernel, float32" "$dir/ablate" bench alexnet --device cuda:0 --batch 256 --steps 10
  part "kernel by kernel, bf16" "$dir/ablate" bench alexnet --device cuda:0 --batch 256 --steps 10 --precision bf16
  if [ $# -gt 1 ]; then
    part "beside PyTorch" python3 "$dir/peer_gpu.py" "$2" --ablate "$dir/ablate"
  fi
  if [ ${#failed[@]} -gt 0 ]; then
    printf '\nfailed:'
    printf ' [%s]' "${failed[@]}"
    printf '\n'
    exit 1
  fi
  printf '\nall passed\n'
}

case "${1:-} $#" in
  "build 2") build "$2" ;;
  "run 2" | "run 3") shift && run "$@" ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac

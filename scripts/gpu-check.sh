#!/usr/bin/env bash
# What needs a GPU to be seen, in one call of under ten minutes: the suite of every
# device, runs that follow the CPU's, equal bits, speed beside PyTorch on the same GPU.
#
#     scripts/gpu-check.sh build DIR          where Go is: makes the programs
#     scripts/gpu-check.sh run DIR [PEER]     where the GPU is: needs the driver, NVIDIA's
#                                             libraries and the programs, no Go, no network
#
# Speed is compared where Python has PyTorch; PEER replaces the script that times it,
# scripts/torch_peer.py. A part that fails is named at the end, and the exit code is
# 1; the others run all the same.
set -uo pipefail

build() {
  local dir
  mkdir -p "$1" && dir=$(cd "$1" && pwd) || exit
  cd "$(dirname "$0")/.." || exit
  export CGO_ENABLED=0
  local -a small=(-trimpath '-ldflags=-s -w')
  go build "${small[@]}" -o "$dir/ablate" . &&
    go test -c "${small[@]}" -o "$dir/cuda.test" ./runner/engine/cuda &&
    go test -c "${small[@]}" -o "$dir/kernels.test" ./runner/engine/cuda/kernels &&
    go test -c "${small[@]}" -o "$dir/nvidia.test" ./runner/engine/cuda/nvidia &&
    go test -c -tags long "${small[@]}" -o "$dir/train.test" ./runner/train &&
    cp scripts/gpu-check.sh scripts/peer_gpu.py scripts/torch_peer.py "$dir"
}

failed=()
part() { # SECONDS NAME COMMAND...: runs it for at most so long, and not beyond ten minutes in all
  local limit=$1 name=$2 start=$SECONDS left=$((585 - SECONDS))
  shift 2
  printf '\n== %s\n' "$name"
  if [ $left -lt 5 ]; then
    echo "no time left"
    failed+=("$name")
    return
  fi
  timeout $((limit < left ? limit : left)) "$@" || failed+=("$name")
  printf -- '-- %d s\n' $((SECONDS - start))
}

# Trains the quickstart twice, the second time stopped on the way: the weights must be equal.
twice() {
  local ablate=$1 scratch=$2 run
  "$ablate" run quickstart --device cuda:0 --runs "$scratch/whole" || return
  timeout --signal=INT 3 "$ablate" run quickstart --device cuda:0 --runs "$scratch/stopped"
  case $? in
    3) ;;
    0) echo "it ended before it could be stopped" ;;
    *) return 1 ;;
  esac
  "$ablate" run quickstart --device cuda:0 --runs "$scratch/stopped" >"$scratch/log" || return
  for run in baseline/seed-1 no-lrn/seed-2 leaky/seed-3; do
    cmp "$scratch/whole/quickstart/$run/weights.safetensors" "$scratch/stopped/quickstart/$run/weights.safetensors" || return
  done
  echo "two runs, one of them stopped on the way: the same weights"
}

run() {
  local dir scratch
  dir=$(cd "$1" && pwd) || exit
  scratch=$(mktemp -d) || exit
  trap 'rm -rf "$scratch"' EXIT
  export ABLATE_TEST_DEVICE=cuda:0
  part 20 doctor "$dir/ablate" doctor
  if ! "$dir/ablate" doctor | grep -q '^cuda:0' && [ -z "${ABLATE_CUDA_LIBS:-}" ]; then
    # Libraries that lie where nobody looks: beside the packages of the interpreter that has PyTorch.
    ABLATE_CUDA_LIBS=$(python3 -c 'import glob, os, torch
print(":".join(sorted(glob.glob(os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "nvidia", "*", "lib")))))')
    export ABLATE_CUDA_LIBS
    part 20 "doctor, told where" "$dir/ablate" doctor
  fi
  part 30 libraries "$dir/nvidia.test" -test.v -test.run Libraries
  part 60 compiler "$dir/kernels.test" -test.run NVRTC
  part 120 "suite of every device" "$dir/cuda.test" -test.run GPU -test.v
  part 200 "the CPU's weights, equal bits" "$dir/train.test" -test.run 'GPU|Precisions' -test.v
  export -f twice
  part 120 "stopped and resumed" bash -c 'twice "$@"' twice "$dir/ablate" "$scratch"
  part 60 "kernel by kernel, float32" "$dir/ablate" bench alexnet --device cuda:0 --batch 256 --steps 10
  part 60 "kernel by kernel, bf16" "$dir/ablate" bench alexnet --device cuda:0 --batch 256 --steps 10 --precision bf16
  if python3 -c 'import torch' 2>/dev/null; then
    part 280 "beside PyTorch" python3 "$dir/peer_gpu.py" --peer "${2:-$dir/torch_peer.py}" --ablate "$dir/ablate" --seconds 200
  else
    echo "no PyTorch here: speed is not compared"
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
  *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac

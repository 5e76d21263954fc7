#!/usr/bin/env bash
# What other programs read of an export is what was recorded. Installs them from
# PyPI into a folder of its own, starts a real MLflow server and a real TensorBoard
# on loopback, and stops both.
#
#	scripts/interop.sh CIFAR10 [VENV]
#
# CIFAR10 is the folder of the binary version. VENV keeps what is installed for the
# next time. TORCH=1 checks PyTorch, too.
set -euo pipefail
cd "$(dirname "$0")/.."
cifar=$1
scratch=$(mktemp -d)
venv=${2:-$scratch/venv}
servers=()
stop() {
  for pid in "${servers[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap stop EXIT

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q tensorboard mlflow==3.17.2 onnx onnxruntime pandas polars pyarrow ${TORCH:+torch torchvision safetensors}
go build -o "$scratch/ablate" .

port() { "$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mlflow=$(port)
board=$(port)
set -m # each server is a group of processes, which is ended as one
"$venv/bin/mlflow" server --backend-store-uri "sqlite:///$scratch/mlflow.db" --artifacts-destination "$scratch/artifacts" \
  --host 127.0.0.1 --port "$mlflow" --workers 1 >"$scratch/mlflow.log" 2>&1 &
servers+=($!)
"$venv/bin/tensorboard" --logdir "$scratch/logs" --host 127.0.0.1 --port "$board" --reload_interval 1 \
  >"$scratch/tensorboard.log" 2>&1 &
servers+=($!)
set +m

ABLATE_PYTHON="$venv/bin/python" "$venv/bin/python" scripts/interop.py "$scratch/ablate" "$cifar" \
  --mlflow "http://127.0.0.1:$mlflow" --tensorboard "http://127.0.0.1:$board" --logs "$scratch/logs" ${TORCH:+--torch} ||
  { tail -5 "$scratch/mlflow.log" "$scratch/tensorboard.log"; exit 1; }
"$venv/bin/python" scripts/interop_nets.py "$scratch/ablate" ${TORCH:+--torch}

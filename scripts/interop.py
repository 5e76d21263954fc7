#!/usr/bin/env python3
"""What other programs read of an export is what was recorded.

    scripts/interop.py ABLATE CIFAR10 [--mlflow URL] [--tensorboard URL --logs DIR] [--torch]

scripts/interop.sh installs what is needed, starts the servers and calls this.
ABLATE is the program, CIFAR10 the folder of the binary version. Trains small
nets with every kind of layer that can be exported on a part of CIFAR-10, exports
them, and reads the files back: event files with TensorBoard's own reader, tables
with pandas and polars, experiments with MLflow's own client, ONNX models with
onnxruntime and, with --torch, model.py with PyTorch. Every number must be the one
that was recorded. Every label must be that of predictions.csv and every log probability
equal within 1e-4.

Needs tensorboard, mlflow, pandas, polars, pyarrow, onnx and onnxruntime (and torch, safetensors) from PyPI.
"""

import argparse
import csv
import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

TRAIN, TEST = 500, 200
START = "_hparams_/session_start_info"

STUDY = """
study: interop
data: {name: cifar10, root: ROOT, train: %d, test: %d, scale: 0.02}
train: {batch: 50, epochs: 1, lr: 0.01}
seeds: 2
net:
  net: interop
  input: {height: 32, width: 32, channels: 3}
  columns: 2
  layers:
    - conv: {name: conv1, filters: 8, kernel: 5, stride: 1, pad: {right: 3, bottom: 3, top: 1, left: 1}, init: {kind: he}}
    - relu: {name: act1}
    - lrn: {name: norm1, size: 3, alpha: 0.05, alpha_over_size: false, beta: 0.75, k: 2}
    - maxpool: {name: pool1, kernel: 3, stride: 2, ceil: true}
    - conv: {name: conv2, filters: 16, kernel: 3, pad: 1, within_column: true, init: {kind: he}}
    - relu: {name: act2}
    - batch_norm: {name: bn2}
    - avgpool: {name: pool2, kernel: 3, stride: 2, pad: 1}
    - dense: {name: fc3, outputs: 32, init: {kind: he}}
    - relu: {name: act3}
    - dropout: {name: drop3, rate: 0.4}
    - dense: {name: fc4, outputs: 10, init: {kind: he}}
    - softmax_loss: {name: loss}
variants:
  baseline: {}
""" % (TRAIN, TEST)

for name, layer in {
    "leaky": "leaky_relu: {slope: 0.1}", "rrelu": "rrelu: {}", "prelu": "prelu: {}", "elu": "elu: {alpha: 0.7}",
    "selu": "selu: {}", "softplus": "softplus: {shift: 0.6931}", "arcsinh": "arcsinh: {}", "sigmoid": "sigmoid: {}",
    "tanh": "tanh: {a: 1.7159, b: 0.6667}",
}.items():
    STUDY += f"  {name}: {{edits: [{{replace: {{select: {{kind: relu}}, with: {{{layer}}}}}}}]}}\n"
STUDY += """  maxout: {edits: [{replace: {select: {name: act2}, with: {maxout: {pieces: 2}}}}]}
  both-pools: {edits: [{replace: {select: {name: pool1}, with: {maxavgpool: {kernel: 3, stride: 2}}}}]}
  inverted: {edits: [{set: {select: {name: drop3}, inverted: true}}]}
"""


def cifar(folder, names, n):
    raw = np.concatenate([np.fromfile(folder / name, np.uint8).reshape(-1, 3073) for name in names])[:n]
    return raw[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32)


def compare(what, got, predictions):
    """Holds log probabilities [N, classes] to a run's predictions."""
    labels = [int(p["label"]) for p in predictions]
    wrong = sum(int(p["predicted"]) != g for p, g in zip(predictions, got.argmax(1)))
    off = max(abs(float(p["log_prob"]) - got[i, label]) for i, (p, label) in enumerate(zip(predictions, labels)))
    print(f"{what}: {len(predictions) - wrong} of {len(predictions)} labels, log probabilities within {off:.1e}")
    return wrong == 0 and off < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ablate")
    parser.add_argument("cifar10", type=pathlib.Path)
    parser.add_argument("--mlflow", help="address of a server that is ours")
    parser.add_argument("--tensorboard", help="address of a server of --logs")
    parser.add_argument("--logs", type=pathlib.Path)
    parser.add_argument("--torch", action="store_true")
    args = parser.parse_args()
    program = str(pathlib.Path(args.ablate).resolve())
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        (work / "study.yaml").write_text(STUDY.replace("ROOT", str(args.cifar10.resolve())))

        def ablate(*words):
            return subprocess.run([program, *map(str, words), "--runs", work / "runs"], check=True, text=True, stdout=subprocess.PIPE).stdout

        logs = args.logs or work / "logs"
        live = ["--tensorboard", logs] + (["--mlflow", args.mlflow] if args.mlflow else [])
        ablate("run", work / "study.yaml", *live)
        good = scalars(ablate, work, logs) and tables(ablate, work)
        if args.tensorboard:
            good &= board(work, args.tensorboard)
        if args.mlflow:
            good &= tracking(ablate, work, args.mlflow)
        mean = cifar(args.cifar10, [f"data_batch_{i}.bin" for i in range(1, 6)], TRAIN).mean(0)
        raw = cifar(args.cifar10, ["test_batch.bin"], TEST)
        images = (raw - mean) * np.float32(0.02)
        for run in sorted((work / "runs" / "interop").glob("*/seed-1")):
            variant = run.parent.name
            predictions = list(csv.DictReader((run / "predictions.csv").open()))
            good &= compare(f"{variant}, onnxruntime", onnx_outputs(ablate, work, variant, images), predictions)
            pixels = raw.transpose(0, 2, 3, 1).astype(np.uint8)
            outputs = onnx_outputs(ablate, work, variant, pixels, "--preprocess", "--check")
            good &= compare(f"{variant}, onnxruntime on raw pixels", outputs, predictions)
            if args.torch:
                good &= compare(f"{variant}, PyTorch", torch_outputs(ablate, work, variant, images), predictions)
    print("all equal" if good else "NOT EQUAL")
    return 0 if good else 1


def onnx_outputs(ablate, work, variant, images, *flags):
    import onnx
    import onnxruntime

    file = work / f"{variant}.onnx"
    ablate("export", "onnx", f"interop/{variant}/1", file, *flags)
    onnx.checker.check_model(onnx.load(file), full_check=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def torch_outputs(ablate, work, variant, images):
    import torch

    folder = work / f"{variant}-torch"
    ablate("export", "torch", f"interop/{variant}/1", folder)
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        return module.load(folder / "model.safetensors").eval()(torch.from_numpy(images)).numpy()


def recorded(run):
    """The series of a run without resumption: name → values by step."""
    series = {}
    for line in (run / "metrics.jsonl").read_text().split("\n")[1:-1]:
        m = json.loads(line)
        series.setdefault(m["name"], []).append((m["step"], float(m["value"])))
    return series


def answer(url, patience=120):
    """The JSON at an address, as soon as its server is there."""
    import time
    import urllib.error
    import urllib.request

    for _ in range(patience):
        try:
            with urllib.request.urlopen(url) as reply:
                return json.load(reply)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(1)
    raise SystemExit(f"{url} does not answer")


def board(work, url):
    """What a TensorBoard server shows of every run's last test error."""
    import time
    import urllib.parse

    points, good = 0, True
    for run in sorted((work / "runs" / "interop").glob("*/seed-*")):
        want = recorded(run)["test_top1_error"]
        query = urllib.parse.urlencode({"run": f"{run.parent.name}/{run.name}", "tag": "test_top1_error"})
        for _ in range(60):  # it reads new files once a second
            try:
                got = [(step, value) for _, step, value in answer(f"{url}/data/plugin/scalars/scalars?{query}", 60)]
            except ValueError:
                got = []
            if len(got) == len(want):
                break
            time.sleep(1)
        good &= len(got) == len(want)
        for (step, value), (want_step, error) in zip(got, want):
            points += 1
            good &= step == want_step and math.isclose(value, error, rel_tol=1e-6)
    print(f"TensorBoard's server: {points} points", "equal" if good else "NOT EQUAL")
    return good


def tracking(ablate, work, url):
    """What MLflow's own client reads of an experiment that was fed live, and exported again."""
    from mlflow import MlflowClient

    print(ablate("export", "mlflow", work / "study.yaml", "--to", url, "--weights").strip())
    client = MlflowClient(url)
    experiment = client.get_experiment_by_name("interop")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    by_name = {r.info.run_name: r for r in runs}
    good, points = len(by_name) == len(runs), 0
    for run in sorted((work / "runs" / "interop").glob("*/seed-*")):
        record = json.loads((run / "run.json").read_text())
        r = by_name[f"{run.parent.name}/{run.name}"]
        parent = by_name[run.parent.name]
        good &= r.info.status == "FINISHED" and r.data.tags["mlflow.parentRunId"] == parent.info.run_id
        good &= r.data.params["train.lr"] == "0.01" and len(r.inputs.dataset_inputs) == 2
        for name, values in recorded(run).items():
            history = [(m.step, m.value) for m in client.get_metric_history(r.info.run_id, name)]
            points += len(history)
            good &= sorted(history) == sorted(values)
        best = min(v for _, v in recorded(run)["test_top1_error"])
        good &= r.data.metrics["best_test_top1_error"] == best
        files = {f.path: f.file_size for f in client.list_artifacts(r.info.run_id)}
        for name in ("run.json", "predictions.csv", "weights.safetensors"):
            good &= files.get(name) == (run / name).stat().st_size
        good &= math.isfinite(parent.data.metrics["mean_test_top1_error"]) and record["status"] == "done"
    page = {f.path for f in client.list_artifacts(by_name["report"].info.run_id)}
    good &= {"report.html", "report.json", "report.md", "report.txt"} <= page
    print(f"MLflow: {points} points of {len(runs)} runs", "equal" if good else "NOT EQUAL")
    return good


def scalars(ablate, work, logs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    ablate("export", "tensorboard", "interop", logs)
    before = {f: f.read_bytes() for f in logs.rglob("events.*")}
    ablate("export", "tensorboard", "interop", logs)
    good = before == {f: f.read_bytes() for f in logs.rglob("events.*")}
    points = 0
    for run in sorted((work / "runs" / "interop").glob("*/seed-*")):
        events = EventAccumulator(str(logs / run.parent.name / run.name))
        events.Reload()
        series = recorded(run)
        start = events.SummaryMetadata(START).plugin_data.content
        session = plugin_data_pb2.HParamsPluginData.FromString(start).session_start_info
        good &= session.group_name == run.parent.name and session.hparams["seed"].number_value == int(run.name[5:])
        good &= sorted(events.Tags()["scalars"]) == sorted(series)
        for name, values in series.items():
            read = [(e.step, e.value) for e in events.Scalars(name)]
            good &= len(read) == len(values)
            for (step, value), (want_step, want) in zip(read, values):
                points += 1
                good &= step == want_step and (math.isclose(value, want, rel_tol=1e-6) or math.isnan(value) and math.isnan(want))
    print(f"TensorBoard: {points} points of {len(before)} files", "equal" if good else "NOT EQUAL")
    return good


def typed(ablate, work, texts):
    """Whether polars reads of Parquet what pandas reads of CSV."""
    import polars

    good = True
    for name, text in texts.items():
        file = work / f"{name}.parquet"
        ablate("export", name, "interop", "--format", "parquet", "-o", file)
        frame = polars.read_parquet(file)
        good &= frame.columns == list(text.columns) and len(frame) == len(text)
        for column in frame.columns:
            if frame[column].dtype.is_numeric():
                good &= bool(np.array_equal(frame[column].to_numpy().astype(float), text[column].to_numpy(float), equal_nan=True))
    print(f"polars: {len(texts)} tables", "equal" if good else "NOT EQUAL")
    return good


def tables(ablate, work):
    import io

    import pandas

    runs = pandas.read_csv(io.StringIO(ablate("export", "runs", "interop")))
    metrics = pandas.read_csv(io.StringIO(ablate("export", "metrics", "interop")))
    predictions = pandas.read_csv(io.StringIO(ablate("export", "predictions", "interop")))
    wrong = predictions.assign(wrong=predictions.label != predictions.predicted).groupby(["variant", "seed"]).wrong.mean()
    want = runs.set_index(["variant", "seed"]).top1_error
    logged = metrics[metrics.name == "test_top1_error"].set_index(["variant", "seed"]).value
    good = bool(np.allclose(wrong.sort_index(), want.sort_index()) and np.allclose(logged.sort_index(), want.sort_index()))
    good &= typed(ablate, work, {"runs": runs, "metrics": metrics, "predictions": predictions})
    print(f"pandas: {len(runs)} runs, {len(metrics)} measurements, {len(predictions)} predictions", "equal" if good else "NOT EQUAL")
    return good


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Every net that ships with ablate computes the same elsewhere.

    scripts/interop_nets.py ABLATE [--torch]

ABLATE is the program. Trains each net of arch/nets for a step on two drawn images,
exports it, and compares with predictions.csv what onnxruntime (and with --torch PyTorch)
makes of the raw test images. Every label must be equal, and every log probability within
1e-4 of its value. A net that ONNX has no operators for must be refused with its layer's name.

So that all of them take a minute, layers of 1,000 units and more have 64 here, and the
nets that are much deeper than AlexNet see images of 96 pixels. scripts/interop.sh calls it.

Needs numpy and onnxruntime (and torch, safetensors) from PyPI.
"""

import argparse
import csv
import importlib.util
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np

TRAIN, TEST = 2, 4
NETS = pathlib.Path(__file__).resolve().parent.parent / "arch" / "nets"
DEEP = ("vgg", "resnet", "se-resnet", "googlenet")
# The nets of the paper's own programs have layers of their own.
REFUSED = {
    "alexnet-2012-source", "alexnet-2012-source-145-half", "alexnet-2012-source-147", "alexnet-2012-source-150",
    "caffe-cifar10-full", "cuda-convnet-11pct", "cuda-convnet-13pct", "cuda-convnet-18pct",
}


def png(pixels):
    """The bytes of a PNG file of [height, width, 3] (W3C Portable Network Graphics, section 5)."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def draw(rng, n, size, channels):
    """Images of coloured squares, as different as photographs are."""
    coarse = rng.integers(0, 256, (n, -(-size // 8), -(-size // 8), channels), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)[:, :size, :size]


def images(folder, rng, size, channels):
    """Writes a data set; returns its keys and the test images in their order."""
    sets = {"train": draw(rng, TRAIN, size, channels), "test": draw(rng, TEST, size, channels)}
    folder.mkdir()
    if channels == 1:
        for name, all in {"train": sets["train"], "t10k": sets["test"]}.items():
            labels = np.arange(len(all), dtype=np.uint8) % 2
            (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, len(all), size, size) + all.tobytes())
            (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, len(all)) + labels.tobytes())
        return {"name": "mnist"}, sets["test"]
    for name, all in {"train": sets["train"], "val": sets["test"]}.items():
        for i, pixels in enumerate(all):
            where = folder / name / f"class{i % 2}"
            where.mkdir(parents=True, exist_ok=True)
            (where / f"{i}.png").write_bytes(png(pixels))
    return {"name": "imagefolder", "size": size}, sets["test"]


def shrunk(name):
    """A net's text, its input's size and channels, cut as said above."""
    text = (NETS / f"{name}.yaml").read_text()
    text = re.sub(r"outputs: (1000|4096)\b", "outputs: 64", text)
    found = re.search(r"input: \{height: (\d+), width: \d+, channels: (\d)\}", text)
    size, channels = int(found[1]), int(found[2])
    if name.startswith(DEEP) and size > 96:
        size = 96
        text = text.replace(found[0], f"input: {{height: {size}, width: {size}, channels: {channels}}}")
    return text, size, channels


def compare(name, got, predictions):
    labels = [int(p["label"]) for p in predictions]
    wrong = sum(int(p["predicted"]) != g for p, g in zip(predictions, got.argmax(1)))
    off = max(abs(float(p["log_prob"]) - got[i, k]) / max(1, abs(got[i, k])) for i, (p, k) in enumerate(zip(predictions, labels)))
    good = wrong == 0 and off < 1e-4
    if not good:
        print(f"{name}: {len(predictions) - wrong} of {len(predictions)} labels, log probabilities within {off:.1e}")
    return good


def mean_image(file):
    """The mean of the images that a net was trained on, as FORMAT.md says."""
    raw = file.read_bytes()
    end = 8 + struct.unpack("<Q", raw[:8])[0]
    about = json.loads(raw[8:end])["mean_image"]
    first, last = about["data_offsets"]
    return np.frombuffer(raw[end + first:end + last], np.float32).reshape(about["shape"])


def onnx_outputs(ablate, run, file, pixels):
    import onnxruntime

    ablate("export", "onnx", run, file, "--preprocess")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: pixels})[0]


def torch_outputs(ablate, run, folder, inputs):
    import torch

    ablate("export", "torch", run, folder)
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        out = module.load(folder / "model.safetensors").eval()(torch.from_numpy(inputs))
        return torch.log_softmax(out, 1).numpy()  # torchvision's net ends without; a second one changes nothing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ablate")
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("nets", nargs="*", help="these nets alone")
    args = parser.parse_args()
    program = str(pathlib.Path(args.ablate).resolve())
    rng = np.random.default_rng(2012)
    counts = {"onnxruntime": 0, "PyTorch": 0, "refused": 0}
    bad, data = [], {}
    for name in args.nets or sorted(f.stem for f in NETS.glob("*.yaml")):
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            text, size, channels = shrunk(name)
            keys, pixels = images(work / "data", rng, size, channels)
            keys = ", ".join(f"{k}: {v}" for k, v in keys.items())
            init = ", ".join(
                f"{{set: {{select: {{kind: {kind}}}, init: {{kind: he}}}}}}"
                for kind in ("conv", "dense") if f"- {kind}:" in text and not re.search(rf"- {kind}: .*init: {{kind: he", text))
            (work / "net.yaml").write_text(text)
            (work / "study.yaml").write_text(f"""study: nets
net: net.yaml
data: {{{keys}, root: {work}/data, scale: 0.02}}
train: {{batch: 2, epochs: 1, lr: 0.0001}}
seeds: 1
variants:
  baseline: {{edits: [{init}]}}
""")

            def ablate(*words):
                done = subprocess.run([program, *map(str, words), "--runs", work / "runs"], text=True, capture_output=True)
                if done.returncode:
                    raise RuntimeError(done.stderr.strip().splitlines()[-1])

            ablate("run", work / "study.yaml")
            record = work / "runs" / "nets" / "baseline" / "seed-1"
            predictions = list(csv.DictReader((record / "predictions.csv").open()))
            waiting = {0: [0, 2], 1: [1, 3]}  # the images of each label, in their files' order
            pixels = pixels[[waiting[int(p["label"])].pop(0) for p in predictions]]
            try:
                counts["onnxruntime"] += 1
                if not compare(f"{name}, onnxruntime", onnx_outputs(ablate, "nets/baseline/1", work / "m.onnx", pixels), predictions):
                    bad.append(name)
            except RuntimeError as error:
                counts["onnxruntime"] -= 1
                counts["refused"] += 1
                if name not in REFUSED or not re.search(r"layer \S+: .* has no form in ONNX", str(error)):
                    print(f"{name}: {error}")
                    bad.append(name)
                continue
            if name in REFUSED:
                print(f"{name} was exported, and is said to be refused")
                bad.append(name)
            if args.torch:
                counts["PyTorch"] += 1
                inputs = ((pixels - mean_image(record / "weights.safetensors")) * np.float32(0.02)).transpose(0, 3, 1, 2)
                outputs = torch_outputs(ablate, "nets/baseline/1", work / "torch", np.ascontiguousarray(inputs))
                if not compare(f"{name}, PyTorch", outputs, predictions):
                    bad.append(name)
    print(counts, "all equal" if not bad else "NOT EQUAL: " + ", ".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

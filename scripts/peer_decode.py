#!/usr/bin/env python3
"""Times the decoding and resizing of photographs beside Pillow with torchvision's transforms.

    ABLATE_DATA=… scripts/peer_decode.py [--rounds 5] [--folder imagenet-originals]

A B A B on one core: `go test ./runner/data/imaging -bench Photographs -cpu 1` and
Image.open(…).convert("RGB"), Resize(256), CenterCrop(256), as torchvision's
ImageNet recipe has them. Both read the files into memory first. Prints the
medians and the median of the pairs' ratios.
"""
import argparse, io, os, pathlib, re, statistics, subprocess, sys, tempfile, time

from PIL import Image
import PIL, torchvision
from torchvision import transforms


def ours(binary, folder, seconds):
    out = subprocess.run([binary, "-test.run", "-", "-test.bench", "Photographs", "-test.cpu", "1", "-test.benchtime", f"{seconds}s"],
                         check=True, capture_output=True, text=True, env={**os.environ, "ABLATE_PHOTOGRAPHS": folder}).stdout
    rate = re.search(r"([\d.]+) images/s", out)
    if not rate:
        sys.exit(f"no rate in what the benchmark printed:\n{out}")
    return float(rate[1])


def peers(files, fit, seconds):
    images, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for f in files:
            fit(Image.open(io.BytesIO(f)).convert("RGB"))
        images += len(files)
    return images / (time.perf_counter() - start)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--folder", default="imagenet-originals", help="under $ABLATE_DATA")
    a = p.parse_args()
    if "ABLATE_DATA" not in os.environ:
        sys.exit("export ABLATE_DATA=…, the folder that holds " + a.folder)
    files = [f.read_bytes() for f in sorted(pathlib.Path(os.environ["ABLATE_DATA"], a.folder).rglob("*.JPEG"))]
    fit = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(256)])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, the children's too
    root = pathlib.Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as d:
        binary = os.path.join(d, "picture.test")
        subprocess.run(["go", "test", "-c", "-o", binary, "./runner/data/imaging"], check=True, cwd=root)
        peers(files, fit, 0.5)  # warm-up
        a_rates, b_rates = [], []
        for _ in range(a.rounds):
            a_rates.append(ours(binary, a.folder, a.seconds))
            b_rates.append(peers(files, fit, a.seconds))
    ratio = statistics.median(x / y for x, y in zip(a_rates, b_rates))
    print(f"{len(files)} files of {a.folder}, one core, images/s: ablate {statistics.median(a_rates):.0f}, "
          f"Pillow {PIL.__version__} with torchvision {torchvision.__version__} {statistics.median(b_rates):.0f}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times ablate's training step beside every mode of PyTorch's on one GPU: A B C A B C, medians.

    scripts/peer_gpu.py --ablate PROGRAM [--peer SCRIPT] [--rounds 2] [--seconds 180] [--device cuda:0]

PROGRAM is ablate, built beforehand. SCRIPT times PyTorch; without it that is torch_peer.py, beside
this file. Each net and batch has a table: ablate and PyTorch in their precisions, PyTorch in its
modes, and the ratios to the best mode of the same precision. A mode that fails or does not fit is
printed as such; the exit code is 1 where ablate fails. No further round begins after --seconds.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

CASES = [("alexnet", 256, 20), ("alexnet", 1024, 10), ("cifar-quick-lrn", 128, 200)]
PRECISIONS = ["float32", "tf32", "bf16"]
MODES = ["eager", "eager-channels-last", "compile", "compile-channels-last"]


def timed(command, limit):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None, f"took more than {limit:.0f} s"
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["failed"])[-1]
    return json.loads(done.stdout)["images_per_second"], None


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_peer.py")
    p.add_argument("--ablate", required=True)
    p.add_argument("--peer", default=beside)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--seconds", type=float, default=180)
    p.add_argument("--device", default="cuda:0")
    a = p.parse_args()
    started, failed = time.monotonic(), False
    for net, batch, steps in CASES:
        common = ["--batch", str(batch), "--steps", str(steps), "--device", a.device]
        programs = {}  # by program, precision and mode
        for precision in PRECISIONS:
            with_precision = [*common, "--precision", precision]
            programs["ablate", precision, ""] = [a.ablate, "bench", net, *with_precision, "--json"]
            for mode in MODES:
                peer = [sys.executable, a.peer, net, *with_precision, "--mode", mode]
                programs["PyTorch", precision, mode] = peer
        rates, errors = {key: [] for key in programs}, {}
        for _ in range(a.rounds):
            for key, command in programs.items():
                if key in errors or time.monotonic() - started > a.seconds:
                    continue
                rate, error = timed(command, 60)
                if error:
                    errors[key] = error
                    failed = failed or key[0] == "ablate"
                else:
                    rates[key].append(rate)
        print(f"\n{net}, batch {batch}\n")
        print("| program | images/s | rounds | of PyTorch's best |\n|---|---|---|---|")
        median = {key: statistics.median(r) for key, r in rates.items() if r}
        for key in programs:
            program, precision, _ = key
            name = " ".join(filter(None, key))
            if key not in median:
                print(f"| {name} | {errors.get(key, 'no time left')} | | |")
                continue
            peers = [rate for k, rate in median.items() if k[:2] == ("PyTorch", precision)]
            ratio = f"{median[key] / max(peers):.2f}" if peers and program == "ablate" else ""
            print(f"| {name} | {median[key]:,.0f} | {len(rates[key])} | {ratio} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()

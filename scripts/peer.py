#!/usr/bin/env python3
"""Times ablate's training step beside PyTorch's: A B A B, medians of the ratios.

    scripts/peer.py [--mode best] [--rounds 3] [--threads 2] [--peer SCRIPT] [NET ...]

PyTorch's fastest mode is found first for each net, and then alternates with
ablate; --mode names one instead. ablate is built from this repository. Both train
on random images in memory. SCRIPT is another program that takes the arguments of
torch_peer.py and prints its JSON.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

# What torch_peer.py calls a net, and what ablate calls it.
NETS = {
    "alexnet": ["alexnet"],
    "alexnet-no-lrn": ["alexnet", "--ablate", "no-lrn"],
    "alexnet-one-gpu": ["alexnet-one-gpu"],
    "cifar-quick-lrn": ["cifar-quick-lrn"],
    "cifar-quick": ["cifar-quick"],
}


def printed(command):
    """What a command prints, as JSON. Its own messages pass through."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def same_net(ablate, net, theirs):
    params = printed([ablate, "nets", NETS[net][0], "--json"])["cost"]["params"]
    if params != theirs["params"]:
        sys.exit(f"{net}: {params} parameters in ablate, {theirs['params']} in PyTorch: not the same net")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("nets", nargs="*", default=["alexnet", "alexnet-no-lrn", "cifar-quick-lrn", "cifar-quick"])
    p.add_argument("--peer", default=os.path.join(HERE, "torch_peer.py"))
    p.add_argument("--mode", default="best")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=128)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        ablate = os.path.join(scratch, "ablate")
        build = ["go", "build", "-o", ablate, "."]
        subprocess.run(build, cwd=os.path.dirname(HERE), env={**os.environ, "CGO_ENABLED": "0"}, check=True)
        print("| net | ablate images/s | of FMA peak | MiB | PyTorch images/s | mode | MiB | ratio |")
        print("|---|---|---|---|---|---|---|---|")
        for net in a.nets:
            steps = "20" if net.startswith("cifar") else "3"
            common = ["--batch", str(a.batch), "--threads", str(a.threads), "--steps", steps]
            peer = [sys.executable, a.peer, net, *common, "--mode"]
            first = printed([*peer, a.mode])
            same_net(ablate, net, first)
            ours, theirs = [], []
            for _ in range(a.rounds):
                ours.append(printed([ablate, "bench", *NETS[net], "--json", *common]))
                theirs.append(printed([*peer, first["mode"]]))
            rate = lambda rs: statistics.median(r["images_per_second"] for r in rs)
            memory = lambda rs: max(r["peak_rss_mib"] for r in rs)
            ratio = statistics.median(o["images_per_second"] / t["images_per_second"] for o, t in zip(ours, theirs))
            of_peak = statistics.median(o["gflops"] / o["peak_gflops"] for o in ours)
            print(f"| {net} | {rate(ours):,.1f} | {of_peak:.0%} | {memory(ours):,} | {rate(theirs):,.1f} | "
                  f"{first['mode']} | {memory(theirs):,} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()

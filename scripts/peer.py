#!/usr/bin/env python3
"""Times ablate's training step beside PyTorch's: A B A B, medians of the ratios.

    scripts/peer.py PEER [--rounds 3] [--threads 2] [NET ...]

PEER is a script that times PyTorch and prints JSON with images_per_second and
peak_rss_mib for --net, --batch, --threads and --steps. ablate is built from
this repository. Both train on random images in memory.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

# What the peer's script calls a net, and what ablate calls it.
NETS = {
    "alexnet": ["alexnet"],
    "alexnet-no-lrn": ["alexnet", "--ablate", "no-lrn"],
    "alexnet-one-gpu": ["alexnet-one-gpu"],
    "cifar-quick-lrn": ["cifar-quick-lrn"],
    "cifar-quick": ["cifar-quick"],
}


def timed(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("peer")
    p.add_argument("nets", nargs="*", default=["alexnet", "alexnet-no-lrn", "cifar-quick-lrn", "cifar-quick"])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=128)
    a = p.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with tempfile.TemporaryDirectory() as scratch:
        ablate = os.path.join(scratch, "ablate")
        subprocess.run(["go", "build", "-o", ablate, "."], cwd=root, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
        print("| net | ablate images/s | of FMA peak | MiB | PyTorch images/s | MiB | ratio |")
        print("|---|---|---|---|---|---|---|")
        for net in a.nets:
            steps = "20" if net.startswith("cifar") else "3"
            ours, theirs = [], []
            for _ in range(a.rounds):
                common = ["--batch", str(a.batch), "--threads", str(a.threads), "--steps", steps]
                ours.append(timed([ablate, "bench", *NETS[net], "--json", *common]))
                theirs.append(timed([sys.executable, a.peer, "--net", net, *common]))
            rate = lambda rs: statistics.median(r["images_per_second"] for r in rs)
            ratio = statistics.median(o["images_per_second"] / t["images_per_second"] for o, t in zip(ours, theirs))
            share = statistics.median(o["gflops"] / o["peak_gflops"] for o in ours)
            rss = lambda rs: max(r["peak_rss_mib"] for r in rs)
            print(f"| {net} | {rate(ours):,.1f} | {share:.0%} | {rss(ours):,} | {rate(theirs):,.1f} | {rss(theirs):,} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times ablate's training step beside every mode of PyTorch's on one GPU: A B C A B C, medians.

    scripts/peer_gpu.py PEER --ablate PROGRAM [--rounds 2] [--seconds 180] [--device cuda:0]

PEER is a script that times PyTorch and prints JSON with images_per_second for --net, --batch,
--steps, --device, --amp, --channels-last and --compile. PROGRAM is ablate, built beforehand. Each
net and batch has a table: ablate in its precisions, PyTorch in its modes, and the ratios to the
best mode that forms products as ablate does (float32 and tf32 to float32, bf16 to --amp bf16).
A mode that fails or does not fit is printed as such; the exit code is 1 where ablate fails. No further round begins after --seconds.
"""
import argparse, itertools, json, statistics, subprocess, sys, time

CASES = [("alexnet", 256, 20), ("alexnet", 1024, 10), ("cifar-quick-lrn", 128, 200)]
PRECISIONS = ["float32", "tf32", "bf16"]
# PyTorch's modes: channels last or not, compiled or not.
MODES = [tuple(m) for m in itertools.product(([], ["--channels-last"]), ([], ["--compile"]))]


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
    p.add_argument("peer")
    p.add_argument("--ablate", required=True)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--seconds", type=float, default=180)
    p.add_argument("--device", default="cuda:0")
    a = p.parse_args()
    started, failed = time.monotonic(), False
    for net, batch, steps in CASES:
        common = ["--batch", str(batch), "--steps", str(steps), "--device", a.device]
        programs = {f"ablate {q}": [a.ablate, "bench", net, *common, "--json", "--precision", q] for q in PRECISIONS}
        for amp in ("none", "bf16"):
            for layout, compiled in MODES:
                name = " ".join(["PyTorch", "bf16" if amp == "bf16" else "float32", *(f[2:] for f in (*layout, *compiled))])
                programs[name] = [sys.executable, a.peer, "--net", net, *common, "--amp", amp, *layout, *compiled]
        rates, errors = {name: [] for name in programs}, {}
        for _ in range(a.rounds):
            for name, command in programs.items():
                if name in errors or time.monotonic() - started > a.seconds:
                    continue
                rate, error = timed(command, 60)
                if error:
                    errors[name] = error
                    failed = failed or name.startswith("ablate")
                else:
                    rates[name].append(rate)
        print(f"\n{net}, batch {batch}\n")
        print("| program | images/s | rounds | of PyTorch's best |\n|---|---|---|---|")
        median = {name: statistics.median(r) for name, r in rates.items() if r}
        for name in programs:
            if name not in median:
                print(f"| {name} | {errors.get(name, 'no time left')} | | |")
                continue
            kind = "bf16" if "bf16" in name else "float32"
            peers = [v for n, v in median.items() if n.startswith(f"PyTorch {kind}")]
            ratio = f"{median[name] / max(peers):.2f}" if peers and name.startswith("ablate") else ""
            print(f"| {name} | {median[name]:,.0f} | {len(rates[name])} | {ratio} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times PyTorch's training step of a net that ablate has, too.

    scripts/torch_peer.py alexnet                          # the fastest mode, batch 128
    scripts/torch_peer.py cifar-quick --mode eager --threads 2 --steps 20
    scripts/torch_peer.py alexnet --device cuda:0 --batch 256 --precision bf16

A step is forward, loss, backward and update (SGD with momentum 0.9 and weight
decay 0.0005), on random images in memory. Modes are eager and compiled, each
with channels first or last, always with the fastest SGD that this PyTorch has;
a GPU has three more, with CUDA graphs. "best" tries all, each in a process of its own,
and prints the fastest.

Prints one JSON object: images_per_second (of the median step), peak_rss_mib,
params, the mode, and under "modes" the speed of each that was tried, or why it
failed. Needs PyTorch 2 (pip install torch); older ones cannot compile.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

MODES = ["eager", "eager-channels-last", "compile", "compile-channels-last"]

# On a GPU alone: eager code recorded as one CUDA graph, and the compiler's own graphs
# ("reduce-overhead") and search ("max-autotune").
GPU_MODES = ["graphs-channels-last", "compile-graphs-channels-last", "compile-autotune-channels-last"]

# A net is a list of layers: ("conv", filters, kernel, stride, pad, groups),
# ("lrn", size, alpha, k), ("maxpool" | "avgpool", round up), ("dense", outputs), "relu", "dropout",
# ("block", filters, stride): two convolutions with batch norms and a shortcut that pads (He et al. 2015, option A).
# They are those of arch/nets, but that alexnet's conv1 pads 2 on each side and not 3
# on two: the output is the same, and PyTorch pads evenly without a copy.


def _alexnet(maps=(96, 256, 384, 384, 256), groups=2, norm=True):
    lrn = [("lrn", 5, 1e-4, 2.0)] if norm else []
    pool = ("maxpool", False)
    return [
        ("conv", maps[0], 11, 4, 2, 1), "relu", *lrn, pool,
        ("conv", maps[1], 5, 1, 2, groups), "relu", *lrn, pool,
        ("conv", maps[2], 3, 1, 1, 1), "relu",
        ("conv", maps[3], 3, 1, 1, groups), "relu",
        ("conv", maps[4], 3, 1, 1, groups), "relu", pool,
        ("dense", 4096), "relu", "dropout", ("dense", 4096), "relu", "dropout", ("dense", 1000),
    ]


def _cifar_quick(norm):
    lrn = [("lrn", 3, 5e-5, 1.0)] if norm else []
    return [
        ("conv", 32, 5, 1, 2, 1), ("maxpool", True), "relu", *lrn,
        ("conv", 32, 5, 1, 2, 1), "relu", ("avgpool", True), *lrn,
        ("conv", 64, 5, 1, 2, 1), "relu", ("avgpool", True),
        ("dense", 10),
    ]


def _resnet_20():
    blocks = [("block", f, 2 if f > 16 and i == 0 else 1) for f in (16, 32, 64) for i in range(3)]
    return [("bare-conv", 16), "batchnorm", "relu", *blocks, "mean", ("dense", 10)]


# Side of the input, classes, layers.
NETS = {
    "alexnet": (224, 1000, _alexnet()),
    "alexnet-no-lrn": (224, 1000, _alexnet(norm=False)),
    "alexnet-one-gpu": (224, 1000, _alexnet(maps=(48, 128, 192, 192, 256), groups=1)),
    "cifar-quick": (32, 10, _cifar_quick(norm=False)),
    "cifar-quick-lrn": (32, 10, _cifar_quick(norm=True)),
    "resnet-20": (32, 10, _resnet_20()),
}


def block(channels, filters, stride):
    """Makes a residual block."""
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(channels, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(),
                nn.Conv2d(filters, filters, 3, 1, 1, bias=False), nn.BatchNorm2d(filters))

        def forward(self, x):
            short = functional.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, filters - channels))
            return functional.relu(self.layers(x) + short)

    return Block()


def build(layers, x):
    """Makes the modules of the layers; x is one image, which tells their input sizes."""
    import torch
    from torch import nn

    made = []
    for layer in layers:
        kind, *p = (layer,) if isinstance(layer, str) else layer
        if kind == "conv":
            filters, kernel, stride, pad, groups = p
            m = [nn.Conv2d(x.shape[1], filters, kernel, stride, pad, groups=groups)]
        elif kind == "lrn":
            size, alpha, k = p
            m = [nn.LocalResponseNorm(size, alpha * size, 0.75, k)]  # PyTorch divides alpha by the size
        elif kind == "maxpool":
            m = [nn.MaxPool2d(3, 2, ceil_mode=p[0])]
        elif kind == "avgpool":
            m = [nn.AvgPool2d(3, 2, ceil_mode=p[0], count_include_pad=False)]
        elif kind == "bare-conv":
            m = [nn.Conv2d(x.shape[1], p[0], 3, 1, 1, bias=False)]
        elif kind == "batchnorm":
            m = [nn.BatchNorm2d(x.shape[1])]
        elif kind == "block":
            m = [block(x.shape[1], *p)]
        elif kind == "mean":
            m = [nn.AdaptiveAvgPool2d(1)]
        elif kind == "dense":
            m = [nn.Flatten()] if x.dim() > 2 else []
            m.append(nn.Linear(x[0].numel(), p[0]))
        else:
            m = [{"relu": nn.ReLU, "dropout": nn.Dropout}[kind]()]
        with torch.no_grad():
            for module in m:
                x = module(x)
        made += m
    return nn.Sequential(*made)


def optimiser(net):
    """SGD, fused where this PyTorch can, else with all tensors in one call."""
    import torch

    fastest_first = {"fused": True}, {"foreach": True}, {}
    for more in fastest_first:
        try:
            return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, **more)
        except (RuntimeError, TypeError, ValueError):
            if not more:
                raise


def measure(a, mode):
    """Times the steps of one mode in this process."""
    import torch
    from torch.nn import functional

    torch.manual_seed(1)
    device = torch.device(a.device)
    if device.type == "cpu":
        torch.set_num_threads(a.threads)
    else:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = a.precision == "tf32"
    side, classes, layers = NETS[a.net]
    net = build(layers, torch.randn(1, 3, side, side)).to(device)
    images = torch.randn(a.batch, 3, side, side, device=device)
    labels = torch.randint(classes, (a.batch,), device=device)
    if "channels-last" in mode:
        net = net.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    update = optimiser(net)

    def loss_of(images, labels):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            return functional.cross_entropy(net(images), labels)

    forward = loss_of
    if mode.startswith("compile"):
        how = {"compile-graphs": "reduce-overhead", "compile-autotune": "max-autotune"}
        forward = torch.compile(loss_of, mode=how.get(mode.removesuffix("-channels-last")))

    def step():
        update.zero_grad(set_to_none=True)
        forward(images, labels).backward()
        update.step()

    if mode.startswith("graphs"):
        step = recorded(step, update)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = []
    for _ in range(a.warmup + a.steps):
        wait()
        start = time.perf_counter()
        step()
        wait()
        seconds.append(time.perf_counter() - start)
    if a.profile:
        from torch import profiler

        with profiler.profile(activities=[profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.CUDA]) as seen:
            step()
            wait()
        print(seen.key_averages().table(sort_by="self_cuda_time_total", row_limit=30, max_name_column_width=120))
    median = statistics.median(seconds[a.warmup:])
    return {
        "program": "PyTorch " + torch.__version__, "net": a.net, "batch": a.batch, "device": a.device,
        "threads": a.threads, "precision": a.precision, "mode": mode, "optimiser": describe(update),
        "params": sum(p.numel() for p in net.parameters()), "images_per_second": round(a.batch / median, 2),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def recorded(step, update):
    """Records a step as a CUDA graph, as PyTorch's manual does, and returns what replays it."""
    import torch

    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    update.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def describe(update):
    group = update.param_groups[0]
    return "SGD" + "".join(f", {word}" for word in ("fused", "foreach") if group.get(word))


def best(a):
    """Measures every mode in a process of its own, and returns the fastest."""
    done, modes = [], {}
    for mode in MODES + (GPU_MODES if a.device.startswith("cuda") else []):
        command = [sys.executable, __file__, a.net, "--mode", mode]
        for name in ("batch", "threads", "steps", "warmup", "device", "precision"):
            command += [f"--{name}", str(getattr(a, name))]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:
            modes[mode] = (child.stderr.strip().splitlines() or ["failed"])[-1]
            continue
        done.append(json.loads(child.stdout))
        modes[mode] = done[-1]["images_per_second"]
    if not done:
        sys.exit(f"no mode works: {modes}")
    return {**max(done, key=lambda d: d["images_per_second"]), "modes": modes}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("net", choices=NETS)
    p.add_argument("--mode", choices=[*MODES, *GPU_MODES, "best"], default="best")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--warmup", type=int, default=3)
    p.add_argument("--device", default="cpu")
    p.add_argument("--precision", choices=["float32", "tf32", "bf16"], default="float32")
    p.add_argument("--profile", action="store_true", help="first print the 30 longest kernels of a step on a GPU")
    a = p.parse_args()
    print(json.dumps(best(a) if a.mode == "best" else measure(a, a.mode)))


if __name__ == "__main__":
    main()

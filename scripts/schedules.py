#!/usr/bin/env python3
"""Prints PyTorch's learning rates over 20 steps, its loss with smoothed labels and its
average of weights, as runner/train/pytorch_test.go quotes them: pip install torch
"""
import math

import torch

torch.set_default_dtype(torch.float64)
STEPS = 20


def rates(make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.4)
    schedule, seen = make(optimizer), []
    for _ in range(STEPS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


s = torch.optim.lr_scheduler
cosine = lambda o: s.CosineAnnealingLR(o, STEPS, eta_min=0.02)
warm = lambda o: s.SequentialLR(
    o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, STEPS - 5, eta_min=0.02)], [5])
linear = lambda o: s.LinearLR(o, 1, 0, total_iters=STEPS)
poly = lambda o: s.LambdaLR(o, lambda i: (1 - i / STEPS) ** 0.5)
step = lambda o: s.MultiStepLR(o, [6, 12], 0.1)
for name, make in {"cosine": cosine, "cosine, warm-up": warm, "linear": linear, "poly": poly, "step": step}.items():
    print(f'\t"{name}": {{' + ", ".join(f"{x:.9g}" for x in rates(make)) + "},")

logits = torch.tensor([[math.sin(1 + 0.7 * n + 1.3 * c) for c in range(5)] for n in range(4)], requires_grad=True)
loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 3, 1, 4]), label_smoothing=0.1)
loss.backward()
print("smoothed loss", f"{loss.item():.9g}", "gradient of image 1", [f"{x:.9g}" for x in logits.grad[1].tolist()])

average = None
for k in range(STEPS):
    w = torch.tensor([math.cos(0.9 * i + 0.3 * k) for i in range(5)])
    average = w if average is None else average + 0.1 * (w - average)
print("average", [f"{x:.9g}" for x in average.tolist()])

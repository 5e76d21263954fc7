#!/usr/bin/env python3
"""Prints what PyTorch's optimisers make of five weights in 20 steps, as the table
of runner/engine/enginetest/optimizers.go: pip install torch; scripts/optimizers.py

Gradients are given, sin(1 + 0.7·step + 1.3·i) for weight i, so that nothing but the
rule is compared. PyTorch has no LARS: its formula (You et al. 2017) stands here.
"""
import math

import torch

torch.set_default_dtype(torch.float64)
LR, DECAY, STEPS = 0.05, 0.1, 20


def start():
    return torch.tensor([math.cos(0.9 * i) for i in range(5)], requires_grad=True)


def gradient(step):
    return torch.tensor([math.sin(1 + 0.7 * step + 1.3 * i) for i in range(5)])


def trained(make, l1=0.0, clip=0.0):
    w = start()
    optimizer = make([w])
    for step in range(STEPS):
        w.grad = gradient(step)
        if clip:
            torch.nn.utils.clip_grad_norm_([w], clip)
        w.grad += l1 * w.detach().sign()
        optimizer.step()
    return w.detach()


def lars(trust=0.001, momentum=0.9, epsilon=1e-8):
    w, v = start().detach(), torch.zeros(5)
    for step in range(STEPS):
        g = gradient(step)
        local = trust * w.norm() / (g.norm() + DECAY * w.norm() + epsilon)
        v = momentum * v + local * LR * (g + DECAY * w)
        w = w - v
    return w


o = torch.optim
rows = {
    "sgd": trained(lambda p: o.SGD(p, LR, momentum=0.9, weight_decay=DECAY)),
    "nesterov": trained(lambda p: o.SGD(p, LR, momentum=0.9, weight_decay=DECAY, nesterov=True)),
    "rmsprop": trained(lambda p: o.RMSprop(p, LR, alpha=0.99, eps=1e-8, momentum=0.9, weight_decay=DECAY)),
    "adagrad": trained(lambda p: o.Adagrad(p, LR, weight_decay=DECAY, eps=1e-10)),
    "adam": trained(lambda p: o.Adam(p, LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY)),
    "adamw": trained(lambda p: o.AdamW(p, LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY)),
    "lars": lars(),
    "sgd, l1": trained(lambda p: o.SGD(p, LR, momentum=0.9, weight_decay=DECAY), l1=0.02),
    "sgd, clipped": trained(lambda p: o.SGD(p, LR, momentum=0.9, weight_decay=DECAY), clip=0.5),
    "adamw, clipped": trained(lambda p: o.AdamW(p, LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY), clip=0.5),
}
for name, w in rows.items():
    print(f'\t"{name}": {{' + ", ".join(f"{x:.9g}" for x in w.tolist()) + "},")

"""A small convolutional net on CIFAR-10, in plain PyTorch. ablate gives params and seed, and reads what is logged.

    python3 train.py --data cifar-10-batches-bin       # by hand, without ablate
"""

import argparse
import pathlib
import random
import sys

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))  # or: pip install ./python
import ablate

DEFAULTS = {
    "epochs": 10, "batch": 128, "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0005, "width": 32,
    "batch_norm": True, "augment": True, "train_images": 50000, "test_images": 10000,
}


def load(files, count):
    """Reads the binary version of CIFAR-10: a byte of the label and 3,072 of the image, 10,000 times a file."""
    data = b"".join(f.read_bytes() for f in files)
    rows = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(-1, 3073)[:count]
    return rows[:, 1:].reshape(-1, 3, 32, 32).float() / 255, rows[:, 0].long()


def net(width, batch_norm):
    layers, channels = [], 3
    for w in (width, 2 * width, 4 * width):
        layers.append(nn.Conv2d(channels, w, 3, padding=1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(w))
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        channels = w
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 16, 10))


def augmented(images):
    """Reflects half of the images and shifts all by up to four pixels."""
    flip = torch.rand(len(images)) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    dy, dx = torch.randint(0, 9, (2,)).tolist()
    return functional.pad(images, (4, 4, 4, 4))[:, :, dy:dy + 32, dx:dx + 32]


def evaluate(model, images, labels):
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(part) for part in images.split(500)])
    return functional.cross_entropy(scores, labels).item(), scores.argmax(1)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", type=pathlib.Path, required=True)
    folder = arguments.parse_args().data
    p = ablate.params(DEFAULTS)
    random.seed(ablate.seed())
    torch.manual_seed(ablate.seed())
    train_x, train_y = load([folder / f"data_batch_{i}.bin" for i in range(1, 6)], p["train_images"])
    test_x, test_y = load([folder / "test_batch.bin"], p["test_images"])
    mean = train_x.mean((0, 2, 3), keepdim=True)
    train_x, test_x = train_x - mean, test_x - mean

    model = net(p["width"], p["batch_norm"])
    optimizer = torch.optim.SGD(model.parameters(), p["lr"], p["momentum"], weight_decay=p["weight_decay"])
    checkpoint, first = pathlib.Path(ablate.checkpoints()) / "last.pt", 1
    if ablate.resuming() and checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"])
        first = saved["epoch"] + 1
    steps = len(train_x) // p["batch"]
    for epoch in range(first, p["epochs"] + 1):
        model.train()
        total = 0.0
        for batch in torch.randperm(len(train_x))[:steps * p["batch"]].split(p["batch"]):
            images = augmented(train_x[batch]) if p["augment"] else train_x[batch]
            loss = functional.cross_entropy(model(images), train_y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        test_loss, predicted = evaluate(model, test_x, test_y)
        accuracy = (predicted == test_y).float().mean().item()
        ablate.log(step=epoch * steps, epoch=epoch, total=p["epochs"] * steps, train_loss=total / steps,
                   test_loss=test_loss, test_accuracy=accuracy)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(),
                    "epoch": epoch}, str(checkpoint) + ".part")
        pathlib.Path(str(checkpoint) + ".part").replace(checkpoint)
    ablate.predictions(test_y, predicted)


if __name__ == "__main__":
    main()

"""Tells ablate what a training program measures. One file, no dependencies: copy it, or pip install it.

    import ablate
    params = ablate.params()                    # of the study, as a dict
    for epoch in range(1, params["epochs"] + 1):
        ...
        ablate.log(step=step, epoch=epoch, total=steps, val_accuracy=accuracy, train_loss=loss)
    ablate.predictions(labels, predicted)       # if there are any

Started by hand, without ablate, the same program prints its figures instead.
"""

import csv
import json
import math
import os
import sys

__all__ = ["checkpoints", "log", "params", "predictions", "resuming", "run_folder", "seed"]


def params(default=None):
    """The study's params, changed as the variant wants them. default is for a start by hand."""
    path = os.environ.get("ABLATE_RECIPE")
    if not path:
        return dict(default or {})
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def seed(default=1):
    """The run's seed."""
    return int(os.environ.get("ABLATE_SEED", default))


def run_folder():
    """The folder that the program may write to, such as event files and result.json."""
    return os.environ.get("ABLATE_RUN", ".")


def checkpoints():
    """The folder for checkpoints, which is there again when the run continues."""
    return os.environ.get("ABLATE_CHECKPOINTS", ".")


def resuming():
    """Whether an earlier attempt of this run was cut short."""
    return os.environ.get("ABLATE_RESUME") == "1"


def _number(name, value):
    """A float, or the word that stands for one that JSON has no number for."""
    number = float(value)  # tensors and arrays of one number, too
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def log(step=None, epoch=None, total=None, **metrics):
    """Logs figures by name. epoch counts from 1, epochs completed; total is how many steps there will be."""
    line = {name: _number(name, value) for name, value in metrics.items()}
    for key, value in (("step", step), ("epoch", epoch), ("total", total)):
        if value is not None:
            line[key] = int(value)
    text = json.dumps(line)
    path = os.environ.get("ABLATE_METRICS")
    if not path:
        print(text, file=sys.stderr)
        return
    # One write of one line, so that several processes of a run do not mix theirs.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (text + "\n").encode())
    finally:
        os.close(descriptor)


def predictions(labels, predicted):
    """Keeps what was predicted for each test example, so that two runs can be compared example by example."""
    path = os.path.join(run_folder(), "predictions.csv")
    with open(path + ".part", "w", newline="", encoding="utf-8") as f:
        rows = csv.writer(f)
        rows.writerow(["index", "label", "predicted"])
        rows.writerows((i, int(a), int(b)) for i, (a, b) in enumerate(zip(labels, predicted)))
    os.replace(path + ".part", path)

"""Runs an exported net in the program that it was exported for.

Reads from standard input a JSON object: kind (onnx, torch), model (a file, or a
folder with model.py and model.safetensors), images (a file of the images' values),
type (uint8, float32), shape, and output, the file that the net's outputs, float32,
are written to. Exits with 3 and the module's name where one is missing.
"""

import importlib.util
import json
import os
import sys

ask = json.load(sys.stdin)
try:
    import numpy

    if ask["kind"] == "onnx":
        import onnxruntime
    else:
        import safetensors
        import torch
except ImportError as e:
    print(e.name)
    sys.exit(3)

images = numpy.fromfile(ask["images"], ask["type"]).reshape(ask["shape"])
if ask["kind"] == "onnx":
    session = onnxruntime.InferenceSession(ask["model"], providers=["CPUExecutionProvider"])
    out = session.run(None, {session.get_inputs()[0].name: images})[0]
else:
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location("model", os.path.join(ask["model"], "model.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.load(os.path.join(ask["model"], "model.safetensors")).eval()
    with torch.no_grad():
        out = torch.log_softmax(net(torch.from_numpy(images)), 1).numpy()
out.astype("<f4").tofile(ask["output"])

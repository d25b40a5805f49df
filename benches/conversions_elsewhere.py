"""Runs what `fewbit convert` writes in onnxruntime and in qonnx's executor.

    python benches/conversions_elsewhere.py target/release/fewbit FILE.onnx...

For each file and each target that it can be converted to: the outputs of the converted file in the other engine, beside
those of the original file in fewbit (node by node, `--mode reference`) and, for integers and thresholds, of the original
in qonnx. Says how many outputs differ, by how much, and whether predictions are equal.

Needs `pip install qonnx==1.0.0 onnxruntime`.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort
import qonnx.core.onnx_exec as oxe
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes

ITEMS = 20


def in_qonnx(file, images):
    model = ModelWrapper(file).transform(InferShapes())
    name = model.graph.input[0].name
    return np.concatenate([next(iter(oxe.execute_onnx(model, {name: image[None]}).values())) for image in images])


def in_onnxruntime(file, images, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def told(what, found, expected):
    differ = int((found != expected).sum())
    largest = float(np.abs(found - expected).max())
    same = int((found.argmax(1) == expected.argmax(1)).sum())
    return f"{what}: {differ} of {found.size} differ (by at most {largest:.3g}), {same} of {len(found)} predictions equal"


def main():
    program, files = sys.argv[1], sys.argv[2:]
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            model = ModelWrapper(file)
            shape = [d or 1 for d in model.get_tensor_shape(model.graph.input[0].name)][1:]
            images = np.random.default_rng(7).uniform(0, 1, [ITEMS] + shape).astype(np.float32)
            given, logits = os.path.join(folder, "x.npy"), os.path.join(folder, "y.npy")
            np.save(given, images)
            run = [program, "run", file, "--input", given, "--output", logits, "--mode", "reference", "--quiet"]
            subprocess.run(run, check=True, capture_output=True)
            expected = np.load(logits)
            original = None
            for target in ["integer", "thresholds", "qcdq", "onnx-float8", "standard"]:
                new = os.path.join(folder, target + ".onnx")
                run = subprocess.run([program, "convert", file, "--to", target, "-o", new], capture_output=True, text=True)
                if run.returncode:
                    print(f"{file} -> {target}: {(run.stderr or run.stdout).strip().splitlines()[0]}")
                    continue
                lines = []
                try:
                    if target in ("integer", "thresholds"):
                        original = in_qonnx(file, images) if original is None else original
                        lines.append(told("qonnx, from the original there", in_qonnx(new, images), original))
                    else:
                        for name, level in [("none", ort.GraphOptimizationLevel.ORT_DISABLE_ALL), ("all", ort.GraphOptimizationLevel.ORT_ENABLE_ALL)]:
                            lines.append(told(f"onnxruntime, optimizations {name}, from fewbit", in_onnxruntime(new, images, level), expected))
                except Exception as error:
                    lines.append(f"{type(error).__name__}: {str(error)[:160]!r}")
                for line in lines:
                    print(f"{file} -> {target}: {line}", flush=True)


if __name__ == "__main__":
    main()

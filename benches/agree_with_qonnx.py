#!/usr/bin/env python3
"""Runs QONNX files over the whole MNIST test set in fewbit and in the qonnx executor and compares.

    /tmp/peers/bin/python benches/agree_with_qonnx.py --datadir DATA MODEL.onnx...

DATA is the folder with the idx files or its parent. For each file: predictions that differ, logits
that differ, the largest difference, the accuracy of both and the time both took. Exit code 1 if any
prediction differs.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time

import numpy as np


def read_idx(folder: str, name: str) -> np.ndarray:
    for path in (os.path.join(base, name + end) for base in (folder, os.path.join(folder, "mnist")) for end in ("", ".gz")):
        if os.path.exists(path):
            with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
                data = file.read()
            rank = data[3]
            dims = [int.from_bytes(data[4 + 4 * i: 8 + 4 * i], "big") for i in range(rank)]
            return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(dims)
    sys.exit(f"{name} is neither in {folder} nor in its folder mnist")


def qonnx_logits(path: str, images: np.ndarray, batch: int) -> np.ndarray:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.change_batchsize import ChangeBatchSize
    from qonnx.transformation.infer_shapes import InferShapes
    from qonnx.util.cleanup import cleanup_model

    model = cleanup_model(ModelWrapper(path))
    model = model.transform(ChangeBatchSize(batch)).transform(InferShapes())
    (source,), (target,) = model.graph.input, model.graph.output
    shape = [d.dim_value for d in source.type.tensor_type.shape.dim]
    rows = []
    for start in range(0, len(images), batch):
        part = images[start:start + batch]
        rows.append(execute_onnx(model, {source.name: part.reshape([batch, *shape[1:]])})[target.name])
    return np.concatenate(rows).reshape(len(images), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--datadir", required=True)
    parser.add_argument("--fewbit", default="target/release/fewbit", help="the program to compare")
    parser.add_argument("--batch", type=int, default=1000, help="of the qonnx executor; divides 10,000")
    args = parser.parse_args()

    images = (read_idx(args.datadir, "t10k-images-idx3-ubyte").astype(np.float32) / np.float32(255))[:, None]
    labels = read_idx(args.datadir, "t10k-labels-idx1-ubyte")
    failed = False
    for path in args.models:
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "logits.npy")
            start = time.perf_counter()
            subprocess.run([args.fewbit, "run", path, "--dataset", "mnist", "--datadir", args.datadir,
                            "--output", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
            ours_seconds = time.perf_counter() - start
            ours = np.load(out).reshape(len(images), -1)
        start = time.perf_counter()
        theirs = qonnx_logits(path, images, args.batch)
        theirs_seconds = time.perf_counter() - start
        predictions = int((ours.argmax(1) != theirs.argmax(1)).sum())
        failed |= predictions > 0
        print(f"{os.path.basename(path)}: {len(images)} images, {predictions} predictions differ, "
              f"{int((ours != theirs).sum())} of {ours.size} logits differ, largest difference "
              f"{np.abs(ours - theirs).max():.3g}; top-1 {100 * (ours.argmax(1) == labels).mean():.2f} % "
              f"(fewbit, {ours_seconds:.2f} s) {100 * (theirs.argmax(1) == labels).mean():.2f} % "
              f"(qonnx, {theirs_seconds:.1f} s)")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

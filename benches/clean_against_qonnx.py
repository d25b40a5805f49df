"""Compares `fewbit clean` with qonnx-cleanup of qonnx 1.0.0, file by file.

    python benches/clean_against_qonnx.py target/release/fewbit FILE.onnx...

For each file: the nodes, their names and the names of tensors that both leave, and the outputs of both cleaned files and
of the original in qonnx's executor on the same input. Exit code 1 if a file that fewbit cleaned computes something else
than the original there.

Needs `pip install qonnx==1.0.0`.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter

import numpy as np
import qonnx.core.onnx_exec as oxe
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup


def described(model):
    nodes = [(n.op_type, n.name, tuple(n.input), tuple(n.output)) for n in model.graph.node]
    return Counter(n[0] for n in nodes), set(nodes)


def executed(model, value):
    name = model.graph.input[0].name
    return next(iter(oxe.execute_onnx(model, {name: value}).values()))


def main():
    program, files = sys.argv[1], sys.argv[2:]
    wrong = 0
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = os.path.join(folder, "ours.onnx"), os.path.join(folder, "theirs.onnx")
            start = time.perf_counter()
            run = subprocess.run([program, "clean", file, "-o", ours, "--json"], capture_output=True, text=True)
            seconds = time.perf_counter() - start
            if run.returncode:
                print(f"{file}: fewbit: {run.stderr.strip().splitlines()[0]}")
                continue
            start = time.perf_counter()
            try:
                cleanup(file, out_file=theirs)
            except Exception as error:
                theirs = None
                print(f"{file}: qonnx-cleanup fails: {type(error).__name__}: {str(error)[:100]!r}")
            their_seconds = time.perf_counter() - start
            a = ModelWrapper(ours)
            counts, nodes = described(a)
            line = f"{file}: {seconds:.2f} s, qonnx {their_seconds:.2f} s; {sum(counts.values())} nodes"
            if theirs:
                b = ModelWrapper(theirs)
                other_counts, other_nodes = described(b)
                if nodes == other_nodes:
                    line += ", all with the names that qonnx gives"
                else:
                    more, fewer = counts - other_counts, other_counts - counts
                    line += f", qonnx {sum(other_counts.values())} (only here {dict(more)}, only there {dict(fewer)}; {len(nodes & other_nodes)} the same)"
            try:
                before = ModelWrapper(file).transform(InferShapes())
                shape = [d or 1 for d in a.get_tensor_shape(a.graph.input[0].name)]
                value = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
                original, cleaned = executed(before, value), executed(a, value)
                differ = int((original != cleaned).sum())
                line += f"; in qonnx {differ} of {original.size} outputs differ from the original"
                if differ:
                    line += f" (by {np.abs(original - cleaned).max():.2g})"
                    wrong += 1
            except Exception as error:
                line += f"; qonnx cannot execute the original: {type(error).__name__}: {str(error)[:80]!r}"
            print(line, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

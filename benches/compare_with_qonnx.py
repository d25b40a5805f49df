#!/usr/bin/env python3
"""Runs ONNX and QONNX files in fewbit and in the qonnx executor and compares every tensor on the way.

    /tmp/peers/bin/python benches/compare_with_qonnx.py [--markdown FILE] FILE_OR_FOLDER...

Each file gets inputs from a seed (multiples of 1/256 in [-1, 1); integers where the file says so), or the tensors of `test_data*/input_0.pb` and
`test_data*/input.npy` beside it. fewbit runs in both modes. Both zeros are equal, and all NaN. A tensor that differs although
everything that it is computed from is equal is an *origin*: it is computed again in f64 from the same inputs, and who is nearer to
that is right. Needs qonnx, onnx, onnxruntime (benches/requirements.txt).
Exit code 1 if a file does not run in fewbit, or if qonnx is nearer at an origin in reference mode.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx import numpy_helper

warnings.filterwarnings("ignore")
MODES = ("canonical", "reference")


def files_of(paths):
    for path in paths:
        if os.path.isdir(path):
            for folder, _, names in sorted(os.walk(path)):
                yield from (os.path.join(folder, n) for n in sorted(names) if n.endswith(".onnx"))
        else:
            yield path


def inputs_of(model, path, seed):
    """The inputs of the graph, by name."""
    stored = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in stored]
    folder = os.path.dirname(path)
    for test in sorted(n for n in os.listdir(folder) if n.startswith("test_data")):
        for name in ("input_0.pb", "input.npy"):
            found = os.path.join(folder, test, name)
            if len(inputs) == 1 and os.path.exists(found):
                if name.endswith(".npy"):
                    return {inputs[0].name: np.load(found)}
                with open(found, "rb") as file:
                    return {inputs[0].name: numpy_helper.to_array(onnx.TensorProto.FromString(file.read()))}
    random = np.random.default_rng(seed)
    made = {}
    annotated = {a.tensor_name: e.value for a in model.graph.quantization_annotation
                 for e in a.quant_parameter_tensor_names if e.key == "finn_datatype"}
    for i in inputs:
        shape = [d.dim_value or 1 for d in i.type.tensor_type.shape.dim]
        integer = re.fullmatch(r"(U?)INT(\d+)", annotated.get(i.name, ""))
        if integer:
            # qonnx refuses values that are not of the annotated type.
            low, high = (0, 2 ** int(integer[2])) if integer[1] else (-2 ** (int(integer[2]) - 1), 2 ** (int(integer[2]) - 1))
            made[i.name] = random.integers(low, min(high, 2 ** 15), shape).astype(np.float32)
        elif annotated.get(i.name) in ("BIPOLAR", "BINARY", "TERNARY"):
            choices = {"BIPOLAR": [-1, 1], "BINARY": [0, 1], "TERNARY": [-1, 0, 1]}[annotated[i.name]]
            made[i.name] = random.choice(choices, shape).astype(np.float32)
        else:
            made[i.name] = (random.integers(-256, 256, shape) / 256).astype(np.float32)
    return made


def run_qonnx(path, inputs):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(path).transform(InferShapes())
    return model, execute_onnx(model, dict(inputs), return_full_exec_context=True)


def run_fewbit(program, path, inputs, names, mode):
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "run", path, "--mode", mode, "--quiet", "-o", os.path.join(folder, "out.npz")]
        for i, (name, value) in enumerate(inputs.items()):
            np.save(os.path.join(folder, f"{i}.npy"), value)
            command += ["--input", f"{name}={os.path.join(folder, f'{i}.npy')}"]
        for name in names:
            command += ["--tensor", name]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return None, done.stderr.strip().splitlines()[0]
        with np.load(os.path.join(folder, "out.npz")) as arrays:
            return {k: arrays[k] for k in arrays.files}, None


def differing(a, b):
    if a.shape != b.shape:
        return np.ones(1, bool)
    return ~((a == b) | (np.isnan(a) & np.isnan(b)))


def in_f64(node, opset, context):
    """The node computed in f64 from f32 inputs, or nothing if this program does not know how."""
    from onnx.reference import ReferenceEvaluator

    if node.op_type not in ("Conv", "MatMul", "Gemm", "Add", "Sub", "Mul", "Div", "BatchNormalization", "AveragePool",
                            "GlobalAveragePool", "Sqrt", "Pow", "Softmax", "Sigmoid", "Tanh", "ReduceMean"):
        return None
    info = lambda n: onnx.helper.make_tensor_value_info(n, onnx.TensorProto.DOUBLE, None)
    single = onnx.NodeProto.FromString(node.SerializeToString())
    single.domain = ""
    graph = onnx.helper.make_graph([single], "g", [info(n) for n in node.input if n], [info(n) for n in node.output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", max(opset, 9))])
    try:
        exact = ReferenceEvaluator(model).run(None, {n: context[n].astype(np.float64) for n in node.input if n})
    except Exception:
        return None
    return np.asarray(exact[0])


def error_of(a, exact):
    """The largest error, in units in the last place of the tensor's largest value."""
    unit = np.spacing(np.float32(max(np.abs(exact).max(), 1e-30)))
    return float(np.abs(a.astype(np.float64) - exact).max() / unit)


def compare(args, path):
    row = {"file": os.path.relpath(path, args.base) if args.base else path}
    model = onnx.load(path)
    inputs = inputs_of(model, path, args.seed)
    names = [n for node in model.graph.node for n in node.output if n]
    fewbit = {}
    for mode in MODES:
        fewbit[mode], error = run_fewbit(args.fewbit, path, inputs, names, mode)
        if error:
            return {**row, "fewbit": error}
    try:
        wrapped, theirs = run_qonnx(path, inputs)
    except Exception as error:
        return {**row, "qonnx": f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"}
    opset = next((s.version for s in model.opset_import if s.domain in ("", "ai.onnx")), 11)
    outputs = [o.name for o in model.graph.output]
    row["tensors"], row["values"] = 0, 0
    row["origins"] = []
    row["modes"] = {}
    for mode in MODES:
        ours = fewbit[mode]
        differ, tensors, values, bad = set(), 0, 0, 0
        for node in wrapped.graph.node:
            for name in node.output:
                if name not in ours or theirs.get(name) is None:
                    continue
                a, b = np.asarray(ours[name]), np.asarray(theirs[name])
                tensors, values = tensors + 1, values + a.size
                wrong = differing(a, b)
                if not wrong.any():
                    continue
                differ.add(name)
                bad += int(wrong.sum())
                if any(n in differ for n in node.input):
                    continue
                origin = {"mode": mode, "tensor": name, "op": node.op_type, "differ": int(wrong.sum()), "of": a.size}
                if a.shape == b.shape:
                    origin["largest"] = float(np.nanmax(np.abs(a.astype(np.float64) - b)))
                    exact = in_f64(node, opset, theirs)
                    if exact is not None and exact.shape == a.shape:
                        origin["ours"], origin["theirs"] = error_of(a, exact), error_of(b, exact)
                row["origins"].append(origin)
        largest = max((float(np.abs(ours[o].astype(np.float64) - theirs[o]).max()) for o in outputs if o in ours
                       and ours[o].shape == theirs[o].shape), default=float("nan"))
        row["modes"][mode] = (bad, len(differ), largest)
        row["tensors"], row["values"] = tensors, values
    return row


def table(rows):
    lines = ["| file | tensors | values | differ, canonical | largest at an output | differ, reference | largest at an output |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        if "modes" not in row:
            who = "fewbit" if "fewbit" in row else "qonnx"
            lines.append(f"| {row['file']} | | | {who}: {row[who]} | | | |")
            continue
        cells = []
        for mode in MODES:
            bad, tensors, largest = row["modes"][mode]
            cells += [f"{bad:,} in {tensors}" if bad else "0", f"{largest:.2g}"]
        lines.append(f"| {row['file']} | {row['tensors']} | {row['values']:,} | " + " | ".join(cells) + " |")
    lines += ["", "Where the differences begin: what these tensors are computed from is equal. Errors are against the same operator in f64, in units in",
              "the last place of the tensor's largest value.", "",
              "| file | mode | tensor | operator | differ | largest | error of fewbit | of qonnx | nearer |",
              "|---|---|---|---|---:|---:|---:|---:|---|"]
    for row in rows:
        for o in row.get("origins", []):
            known = "ours" in o
            nearer = ("equal" if o["ours"] == o["theirs"] else "fewbit" if o["ours"] < o["theirs"] else "qonnx") if known else "?"
            numbers = f"{o['ours']:.2f} | {o['theirs']:.2f}" if known else "| "
            lines.append(f"| {row['file']} | {o['mode']} | `{o['tensor']}` | {o['op']} | {o['differ']:,} of {o['of']:,} | "
                         f"{o.get('largest', float('nan')):.2g} | {numbers} | {nearer} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER")
    parser.add_argument("--fewbit", default="target/release/fewbit", help="the program to compare")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base", help="folder that the names in the table are relative to")
    parser.add_argument("--markdown", metavar="FILE", help="where to write the tables, too")
    args = parser.parse_args()
    rows = []
    for path in files_of(args.paths):
        rows.append(compare(args, path))
        print(table(rows[-1:]).splitlines()[2], file=sys.stderr, flush=True)
    text = table(rows)
    print(text)
    if args.markdown:
        with open(args.markdown, "w") as file:
            file.write(text + "\n")
    refused = any("fewbit" in row for row in rows)
    farther = any(o["mode"] == "reference" and o.get("ours", 0) > o.get("theirs", 0) for r in rows for o in r.get("origins", []))
    sys.exit(1 if refused or farther else 0)


if __name__ == "__main__":
    main()

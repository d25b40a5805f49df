"""Shows exported files to other programs: who accepts them, and do those who run them agree?

    python benches/check_exports.py FILE.onnx ... [--images N]

Needs `pip install onnx onnxruntime qonnx`. Per file and program one line: accepted, or refused and why.

- checker: `onnx.checker` with all checks, strict shape inference included.
- shapes: strict shape inference of `onnx`; shapes that the file states must be those that it infers.
- rules: what hls4ml, FINN and chisel4ml demand and no program here checks (see `rules`).
- onnxruntime: loads and runs the file. It has no quantizers, so they are added as ONNX functions of
  standard operators, written after the definition of QONNX; FloatQuant has none and is passed over.
- qonnx: executes the file, cleans it up, and executes it again.

Then the largest difference of the logits between onnxruntime, qonnx and qonnx after clean-up, over
random images. Exits with 1 if a program refuses a file or a prediction differs.
"""

import argparse
import re
import sys
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"
FUNCTION_OPSET = 13


def checker(model):
    onnx.checker.check_model(model, full_check=True)


def shapes(model):
    stated = {value.name: value for value in model.graph.value_info}
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    # Only the shapes of quantizers are left, which nobody else knows.
    custom = {name for node in model.graph.node if node.domain for name in node.output}
    del bare.graph.value_info[:]
    bare.graph.value_info.extend(value for name, value in stated.items() if name in custom)
    inferred = onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)
    found = {value.name: value for value in inferred.graph.value_info}
    produced = {name for node in model.graph.node for name in node.output}
    outputs = {value.name for value in model.graph.output}
    missing = produced - outputs - set(stated)
    assert not missing, f"no value_info of {sorted(missing)}"
    for name, value in stated.items():
        assert name in found, f"no shape inferred for {name}"
        assert found[name].type == value.type, f"another type inferred for {name}: {found[name].type}"


def rules(model):
    graph = model.graph
    assert model.ir_version == 8, f"IR version {model.ir_version}"
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names), "node names are not unique"
    for name in names:
        assert re.fullmatch(r"[A-Za-z_]\w*", name), f"node name {name!r}"
    stored = {tensor.name: tensor for tensor in graph.initializer}
    assert len(stored) == len(graph.initializer), "names of initializers are not unique"
    ends = [value.name for value in (*graph.input, *graph.output)]
    assert ends == ["global_in", "global_out"], f"inputs and outputs are {ends[:4]}"
    for tensor in graph.initializer:
        assert tensor.HasField("raw_data"), f"{tensor.name} is not raw data"
    contents = [(t.data_type, tuple(t.dims), t.raw_data) for t in graph.initializer if len(t.raw_data) <= 32]
    small = [c for t, c in zip(graph.initializer, contents) if t.name.startswith("const_")]
    assert len(set(small)) == len(small), "a constant is stored twice"
    known = set(stored) | {value.name for value in graph.input}
    for node in graph.node:
        assert set(node.input) <= known, f"{node.name} comes before its inputs"
        known |= set(node.output)
        attributes = [attribute.name for attribute in node.attribute]
        assert attributes == sorted(attributes), f"attributes of {node.name} are not in order"
        assert node.domain in ("", QONNX), f"domain {node.domain}"
        if node.op_type == "Quant":
            assert attributes == ["narrow", "rounding_mode", "signed"], f"{node.name}: {attributes}"
            assert helper.get_node_attr_value(node, "rounding_mode") == b"ROUND"
            for index in (2, 3):
                assert list(stored[node.input[index]].dims) == [], f"{node.name}: input {index} is no scalar"
    versions = {opset.domain: opset.version for opset in model.opset_import}
    assert versions[""] == FUNCTION_OPSET, f"opset {versions}"


def quantizer_functions():
    """Quant and BipolarQuant as functions of standard operators."""
    node = helper.make_node
    imports = [helper.make_opsetid("", FUNCTION_OPSET)]

    def constant(name, value):
        tensor = numpy_helper.from_array(np.asarray(value, np.float32))
        return node("Constant", [], [name], value=tensor)

    def reference(name, attribute):
        made = node("Constant", [], [name])
        made.attribute.append(onnx.AttributeProto(name="value_int", ref_attr_name=attribute, type=onnx.AttributeProto.INT))
        return made

    quant = [
        reference("signed_int", "signed"),
        reference("narrow_int", "narrow"),
        node("Cast", ["signed_int"], ["signed_value"], to=TensorProto.FLOAT),
        node("Cast", ["narrow_int"], ["narrow_value"], to=TensorProto.FLOAT),
        constant("one", 1.0),
        constant("two", 2.0),
        # Signed: -2^(b-1) + narrow to 2^(b-1) - 1; unsigned: 0 to 2^b - 1 - narrow.
        node("Sub", ["bit_width", "signed_value"], ["bits"]),
        node("Pow", ["two", "bits"], ["power"]),
        node("Mul", ["power", "signed_value"], ["lowest"]),
        node("Neg", ["lowest"], ["lowest_negative"]),
        node("Mul", ["narrow_value", "signed_value"], ["narrow_low"]),
        node("Add", ["lowest_negative", "narrow_low"], ["low"]),
        node("Sub", ["one", "signed_value"], ["unsigned_value"]),
        node("Mul", ["narrow_value", "unsigned_value"], ["narrow_high"]),
        node("Sub", ["power", "one"], ["highest"]),
        node("Sub", ["highest", "narrow_high"], ["high"]),
        node("Div", ["x", "scale"], ["divided"]),
        node("Add", ["divided", "zero_point"], ["shifted"]),
        node("Min", ["shifted", "high"], ["below"]),
        node("Max", ["below", "low"], ["clipped"]),
        node("Round", ["clipped"], ["rounded"]),
        node("Sub", ["rounded", "zero_point"], ["code"]),
        node("Mul", ["code", "scale"], ["y"]),
    ]
    bipolar = [
        constant("zero", 0.0),
        constant("one", 1.0),
        constant("minus_one", -1.0),
        node("GreaterOrEqual", ["x", "zero"], ["positive"]),
        node("Where", ["positive", "one", "minus_one"], ["sign"]),
        node("Mul", ["sign", "scale"], ["y"]),
    ]
    attributes = ["narrow", "rounding_mode", "signed"]
    inputs = ["x", "scale", "zero_point", "bit_width"]
    return [
        helper.make_function(QONNX, "Quant", inputs, ["y"], quant, imports, attributes),
        helper.make_function(QONNX, "BipolarQuant", ["x", "scale"], ["y"], bipolar, imports),
    ]


def run_onnxruntime(model, feeds):
    import onnxruntime

    used = {node.op_type for node in model.graph.node if node.domain == QONNX}
    functions = [function for function in quantizer_functions() if function.name in used]
    unknown = used - {function.name for function in functions}
    if unknown:
        return None, f"passed over: no function for {', '.join(sorted(unknown))}"
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.functions.extend(functions)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (found,), stated = session.get_outputs(), model.graph.output[0]
    dims = [dim.dim_value for dim in stated.type.tensor_type.shape.dim]
    assert found.shape == dims, f"onnxruntime infers {found.shape}, the file says {dims}"
    return np.stack([session.run(None, feed)[0] for feed in feeds]), ""


def run_qonnx(model, feeds, clean):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    wrapper = ModelWrapper(model, make_deepcopy=True)
    if clean:
        wrapper = cleanup_model(wrapper)
    stored = {tensor.name for tensor in wrapper.graph.initializer}
    name_in = next(value.name for value in wrapper.graph.input if value.name not in stored)
    name_out = wrapper.graph.output[0].name
    outputs = [execute_onnx(wrapper, {name_in: next(iter(feed.values()))})[name_out] for feed in feeds]
    return np.stack(outputs), f"{len(wrapper.graph.node)} nodes"


def attempt(results, name, step):
    try:
        value, note = step()
        print(f"  {name:12} accepted  {note}".rstrip())
        results[name] = value
        return True
    except Exception as error:  # Whatever a program throws is its way to refuse.
        text = " ".join(str(error).split())[:300]
        print(f"  {name:12} REFUSED   {type(error).__name__}: {text}")
        return False


def check(path, images):
    print(path)
    model = onnx.load(path)
    stored = {tensor.name for tensor in model.graph.initializer}
    (graph_input,) = [value for value in model.graph.input if value.name not in stored]
    dims = [dim.dim_value for dim in graph_input.type.tensor_type.shape.dim]
    random = np.random.default_rng(1)
    pixels = [random.integers(0, 256, dims).astype(np.float32) / np.float32(255) for _ in range(images)]
    feeds = [{graph_input.name: image} for image in pixels]
    results = {}
    good = attempt(results, "checker", lambda: (checker(model), ""))
    good &= attempt(results, "shapes", lambda: (shapes(model), ""))
    good &= attempt(results, "rules", lambda: (rules(model), ""))
    good &= attempt(results, "onnxruntime", lambda: run_onnxruntime(model, feeds))
    good &= attempt(results, "qonnx", lambda: run_qonnx(model, feeds, clean=False))
    good &= attempt(results, "qonnx clean", lambda: run_qonnx(model, feeds, clean=True))
    logits = {name: value for name, value in results.items() if value is not None}
    names = list(logits)
    for left, right in zip(names, names[1:]):
        a, b = logits[left], logits[right]
        predictions = int((a.argmax(-1) != b.argmax(-1)).sum())
        print(
            f"  {left} - {right}: {int((a != b).sum())} of {a.size} logits differ, by at most "
            f"{np.abs(a - b).max():.3g}; {predictions} of {a.shape[0] * a.shape[1]} predictions"
        )
        good &= predictions == 0
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.onnx")
    parser.add_argument("--images", type=int, default=20)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    good = [check(path, arguments.images) for path in arguments.files]
    print(f"{sum(good)} of {len(good)} files accepted by all")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())

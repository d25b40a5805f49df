"""Writes it/qonnx_operators.json: what qonnx 1.0.0 computes for its less common operators, on small inputs.

    pip install qonnx==1.0.0 onnxruntime
    python crates/qonnx/tests/qonnx_operators.py

qonnx 1.0.0 computes Im2Col rightly for a batch of one only, so that is asked for.
"""

import json
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

GENERAL, LAST = "qonnx.custom_op.general", "qonnx.custom_op.channels_last"
random = np.random.default_rng(5)


def case(name, op, domain, inputs, out_shape, version=1, **attributes):
    names = [f"i{i}" for i in range(len(inputs))]
    node = helper.make_node(op, names, ["y"], domain=domain, **attributes)
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n, x in zip(names, inputs)]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape)
    graph = helper.make_graph([node], "g", infos, [out])
    sets = [helper.make_opsetid("", 13), helper.make_opsetid(domain, version)]
    model = ModelWrapper(helper.make_model(graph, opset_imports=sets))
    for n in names:
        model.set_tensor_datatype(n, DataType["INT8"])
    y = execute_onnx(model, dict(zip(names, inputs)))["y"]
    assert list(y.shape) == list(out_shape), (name, y.shape)
    tensor = lambda x: {"shape": list(x.shape), "values": [float(v) for v in x.ravel()]}
    return {"name": name, "operator": op, "domain": domain, "version": version, "attributes": attributes,
            "inputs": [tensor(x.astype(np.float32)) for x in inputs], "output": tensor(y)}


def integers(low, high, *shape):
    return random.integers(low, high, shape).astype(np.float32)


cases = [
    case("bits", "XnorPopcountMatMul", GENERAL, [integers(0, 2, 3, 7), integers(0, 2, 7, 5)], [3, 5]),
    case("bits of a batch", "XnorPopcountMatMul", GENERAL, [integers(0, 2, 2, 3, 8), integers(0, 2, 8, 5)], [2, 3, 5]),
    case("patches", "Im2Col", GENERAL, [integers(-8, 8, 1, 5, 6, 3)], [1, 2, 5, 18], kernel_size=[3, 2],
         stride=[2, 1], input_shape="(1,5,6,3)"),
    case("patches with padding and dilation", "Im2Col", GENERAL, [integers(-8, 8, 1, 5, 6, 2)], [1, 5, 3, 12],
         kernel_size=[2, 3], stride=[1, 2], pad_amount=[1, 1, 0, 2], pad_value=-3, dilations=[1, 2],
         input_shape="(1,5,6,2)"),
    case("average", "QuantAvgPool2d", GENERAL, [integers(0, 16, 2, 3, 6, 7)], [2, 3, 2, 3], kernel=3, stride=2,
         ibits=4, obits=4, signed=0, data_layout="NCHW"),
    case("average, signed, channels last", "QuantAvgPool2d", GENERAL, [integers(-8, 8, 2, 6, 7, 3)], [2, 3, 3, 3],
         kernel=2, stride=2, ibits=4, obits=3, signed=1, data_layout="NHWC"),
    case("largest", "MaxPoolNHWC", GENERAL, [integers(-8, 8, 2, 5, 6, 3)], [2, 3, 3, 3], kernel_shape=[2, 2],
         strides=[2, 2], pads=[0, 0, 0, 0], ceil_mode=1),
    case("largest with padding", "MaxPoolNHWC", GENERAL, [integers(-8, 8, 1, 5, 5, 2)], [1, 3, 3, 2],
         kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("convolution", "Conv", LAST, [integers(-8, 8, 2, 5, 6, 4), integers(-4, 4, 6, 3, 3, 4)], [2, 3, 3, 6],
         kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1], group=1),
    case("convolution by channel", "Conv", LAST, [integers(-8, 8, 1, 5, 6, 4), integers(-4, 4, 4, 3, 2, 1)],
         [1, 3, 5, 4], kernel_shape=[3, 2], strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1], group=4),
    case("convolution over one axis", "Conv", LAST, [integers(-8, 8, 1, 9, 4), integers(-4, 4, 3, 3, 4)], [1, 4, 3],
         kernel_shape=[3], strides=[2], pads=[0, 0], dilations=[1], group=1),
    case("largest, channels last", "MaxPool", LAST, [integers(-8, 8, 2, 4, 6, 3)], [2, 2, 3, 3], kernel_shape=[2, 2],
         strides=[2, 2], pads=[0, 0, 0, 0]),
    case("normalization, channels last", "BatchNormalization", LAST,
         [integers(-8, 8, 2, 3, 2, 3), integers(1, 5, 3), integers(-3, 3, 3), integers(-3, 3, 3), integers(1, 9, 3)],
         [2, 3, 2, 3], version=9, epsilon=1e-5, momentum=0.9),
]
versions = {"qonnx": "1.0.0", "onnxruntime": onnxruntime.__version__, "seed": 5}
path = pathlib.Path(__file__).parent / "it" / "qonnx_operators.json"
lines = ",\n  ".join(json.dumps(c) for c in cases)
path.write_text(f'{{"made_by": {json.dumps(versions)}, "cases": [\n  {lines}\n]}}\n')
print(len(cases), "cases")

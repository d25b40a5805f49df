"""What the machine reaches in large matrix products: the measured peak."""

import time

import numpy as np

SIZE = 2048
REPEATS = 10


def peak(threads):
    """GFLOP/s of the fastest of ten products: fp32 and bf16 by PyTorch, 8-bit integers by onnxruntime."""
    import torch

    torch.set_num_threads(threads)
    result = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.rand(SIZE, SIZE).to(dtype) for _ in range(2))
        result[name] = _fastest(lambda: left @ right)
    result["int8"] = _fastest(_integer_product(threads))
    return result


def _fastest(product):
    product()
    spans = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        product()
        spans.append(time.perf_counter() - start)
    return 2 * SIZE**3 / min(spans) / 1e9


def _integer_product(threads):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    weights = random.integers(-127, 128, (SIZE, SIZE)).astype(np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [SIZE, SIZE])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    codes = random.integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
    return lambda: session.run(None, {"x": codes})

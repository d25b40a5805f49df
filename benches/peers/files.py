"""What onnxruntime needs: the network in fp32 for any batch, and in 8-bit integers."""

import os

import numpy as np

from peers.execution import onnxruntime as measure


def any_batch(source, target):
    """Rewrites a file of fewbit, which is for one image, for any number of images.

    Returns the multiply-accumulates of an image.
    """
    import onnx

    model = onnx.load(source)
    count = multiply_accumulates(model)
    graph = model.graph
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # Inner shapes say one image, too; onnxruntime infers them.
    del graph.value_info[:]
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in targets:
            shape = onnx.numpy_helper.to_array(tensor).copy()
            shape[0] = 0  # As the input has it.
            tensor.CopyFrom(onnx.numpy_helper.from_array(shape, tensor.name))
    onnx.save(model, target)
    return {"multiply_accumulates": count}


def multiply_accumulates(model):
    """Of all convolutions and matrix products for one image, those with padding included."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    shapes.update({tensor.name: list(tensor.dims) for tensor in inferred.initializer})
    total = 0
    for node in inferred.node:
        if node.op_type == "Conv":
            # Every weight of a channel meets every point of its output.
            outputs, weight = shapes[node.output[0]], shapes[node.input[1]]
            total += int(np.prod(outputs) * np.prod(weight[1:]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(shapes[node.input[1]]))
    return total


def integers(source, target, images, calibration_images, batch, threads, seconds):
    """Quantizes an fp32 file to 8 bits in both forms and keeps the one that is faster at `batch`.

    Activations without a sign, weights with one and per channel: what onnxruntime computes fastest.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Folds batch normalizations into convolutions, without which half of the work would stay fp32.
    prepared = target + ".prepared"
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    rates = {}
    for form in (quantization.QuantFormat.QDQ, quantization.QuantFormat.QOperator):
        candidate = f"{target}.{form.name}"
        quantization.quantize_static(
            prepared, candidate, Calibration(prepared, images, calibration_images), quant_format=form,
            per_channel=True, activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )
        rates[form.name] = measure(candidate, images, batch, threads, seconds)["images_per_second"]
    fastest = max(rates, key=rates.get)
    os.replace(f"{target}.{fastest}", target)
    return {"form": fastest, "images_per_second": rates}


class Calibration:
    """Gives a file its first images, one at a time."""

    def __init__(self, file, images, count):
        import onnx

        name = onnx.load(file).graph.input[0].name
        self.rows = iter([{name: image[None]} for image in np.load(images)[:count]])

    def get_next(self):
        return next(self.rows, None)

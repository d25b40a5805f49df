"""Execution by onnxruntime and by the executor of the qonnx package."""

import time

import numpy as np


def onnxruntime(file, images, batch, threads, seconds, expected=None):
    """Images per second of a session, after one batch."""
    run = _session(file, threads)
    return _measure(run, np.load(images), batch, seconds, expected)


def qonnx(file, images, batch, threads, seconds, expected=None):
    """Images per second of `execute_onnx` on the cleaned-up file; `threads` is what the cores allow."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.change_batchsize import ChangeBatchSize
    from qonnx.transformation.infer_shapes import InferShapes
    from qonnx.util.cleanup import cleanup_model

    # Cleaning up quantizes the constant weights once and for all.
    model = cleanup_model(ModelWrapper(file))
    model = model.transform(ChangeBatchSize(batch)).transform(InferShapes())
    (source,), (target,) = model.graph.input, model.graph.output

    def run(part):
        return execute_onnx(model, {source.name: part})[target.name]

    return _measure(run, np.load(images), batch, seconds, expected)


def _session(file, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda part: session.run(None, {name: part})[0]


def _measure(run, images, batch, seconds, expected):
    """Times whole batches, going round through the images; one batch and `seconds` at least."""
    parts = [images[start:start + batch] for start in range(0, len(images) - batch + 1, batch)]
    # The first batches warm up, and show whether the answers are those of fewbit.
    expected = None if expected is None else np.load(expected)
    compared = 1 if expected is None else max(1, len(expected) // batch)
    logits = np.concatenate([run(part) for part in parts[:compared]])
    done, start = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - start < seconds:
        run(parts[done % len(parts)])
        done += 1
    result = {"images_per_second": done * batch / (time.perf_counter() - start), "batches": done}
    if expected is not None:
        result["agreement"] = _agreement(logits, expected[:len(logits)])
    return result


def _agreement(logits, expected):
    logits, expected = logits.reshape(len(logits), -1), expected.reshape(len(expected), -1)
    return {
        "images": len(logits),
        "predictions_that_differ": int((logits.argmax(1) != expected.argmax(1)).sum()),
        "largest_difference": float(np.abs(logits - expected).max()),
        # Where all images had the same answer, agreement would mean nothing.
        "spread_of_logits": float(np.ptp(expected, axis=0).max()),
    }

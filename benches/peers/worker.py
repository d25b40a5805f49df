"""One measurement in a process of its own: reads what to do as JSON, prints the result as JSON.

    python peers/worker.py '{"measure": "peak", "threads": 2}'
"""

import json
import os
import sys
import warnings


def main():
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from peers import execution, files, machine, training

    measures = {
        "Brevitas": training.brevitas,
        "PyTorch": training.pytorch,
        "any_batch": files.any_batch,
        "integers": files.integers,
        "onnxruntime": execution.onnxruntime,
        "peak": machine.peak,
        "qonnx": execution.qonnx,
    }
    warnings.simplefilter("ignore")
    task = json.loads(sys.argv[1])
    # Peers print; only the result may go to standard output.
    with os.fdopen(os.dup(1), "w") as results:
        os.dup2(2, 1)
        json.dump(measures[task.pop("measure")](**task), results)


if __name__ == "__main__":
    main()

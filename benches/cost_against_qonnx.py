"""Compares `fewbit cost` with qonnx-inference-cost of qonnx 1.0.0, file by file.

    python benches/cost_against_qonnx.py target/release/fewbit FILE.onnx...

For each file and with zero weights left out and counted: the total of MACs, BOPs, weights and outputs, and the sums by
types, once with `--rules qonnx` (has to be equal on every file), once with all that fewbit knows (differs where
qonnx takes numbers for float32, and says so). Exit code 1 if an equal number was expected and is not.

Needs `pip install qonnx==1.0.0`.
"""

import json
import subprocess
import sys

from qonnx.util.inference_cost import inference_cost

TOTALS = ["total_macs", "total_bops", "total_mem_w_bits", "total_mem_w_elems", "total_mem_o_bits", "total_mem_o_elems"]


def ours(program, file, rules, dense):
    command = [program, "cost", file, "--json", "--rules", rules] + (["--dense"] if dense else [])
    run = subprocess.run(command, capture_output=True, text=True)
    return json.loads(run.stdout)["qonnx"] if run.returncode == 0 else run.stderr.strip().splitlines()[0]


def close(a, b):
    # Sums of floats in another order.
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def numbers(document):
    return {key: value for key, value in document.items() if key.startswith(("op_mac", "mem_", "total_"))}


def main():
    program, files = sys.argv[1], sys.argv[2:]
    wrong = equal = refused = 0
    more = []
    for file in files:
        for dense in (False, True):
            name = file + (" (dense)" if dense else "")
            try:
                theirs = inference_cost(file, discount_sparsity=not dense)["total_cost"]
            except Exception as error:
                refused += 1
                found = ours(program, file, "complete", dense)
                found = found if isinstance(found, str) else f"fewbit: {found['total_bops']:.6g} BOPs"
                print(f"qonnx fails   {name}: {type(error).__name__}: {str(error)[:80]!r}; {found}")
                continue
            found = ours(program, file, "qonnx", dense)
            if isinstance(found, str):
                wrong += 1
                print(f"DIFFERENT     {name}: {found}")
                continue
            a, b = numbers(theirs), numbers(found)
            differ = [key for key in sorted(a.keys() | b.keys()) if not close(a.get(key, 0.0), b.get(key, 0.0))]
            if differ:
                wrong += 1
                print(f"DIFFERENT     {name}: " + ", ".join(f"{k} {a.get(k)} here {b.get(k)}" for k in differ[:6]))
            else:
                equal += 1
            complete = ours(program, file, "complete", dense)
            if any(not close(complete[key], theirs[key]) for key in TOTALS):
                more.append((name, theirs, complete))
    print(f"\n--rules qonnx: {equal} equal, {wrong} different, {refused} that qonnx cannot do")
    print(f"complete rules: {len(more)} differ from qonnx:")
    for name, theirs, complete in more:
        told = ", ".join(
            f"{key[6:]} {theirs[key]:.6g} -> {complete[key]:.6g}" for key in TOTALS if not close(complete[key], theirs[key])
        )
        types = sorted(key[7:] for key in theirs if key.startswith("op_mac"))
        known = sorted(key[7:] for key in complete if key.startswith("op_mac"))
        print(f"  {name}: {told}; {types} -> {known}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Processes that are measured: what they print and the most memory that they held."""

import json
import os
import shlex
import subprocess
import sys
import tempfile

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")


class ProcessFailed(Exception):
    """A process ended with an error; the message holds the end of what it said."""


def run(command, environment=None):
    """Runs a command to its end; returns its standard output and its peak memory in bytes."""
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=words, env={**os.environ, **(environment or {})}
        )
        with process.stdout:
            output = process.stdout.read()
        # Unlike getrusage, this is about one child alone.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            words.seek(0)
            said = words.read().decode(errors="replace")[-2000:]
            raise ProcessFailed(f"exit code {process.returncode} of {shlex.join(command)[:300]}\n{said}")
    unit = 1 if sys.platform == "darwin" else 1024
    return output.decode(), usage.ru_maxrss * unit


def measure(what, jit=False, **task):
    """Lets a worker measure something; its result gets the worker's peak memory."""
    threads = str(task.get("threads", 1))
    environment = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "BREVITAS_JIT": "1" if jit else "0",
    }
    output, memory = run([sys.executable, WORKER, json.dumps({"measure": what, **task})], environment)
    return {**json.loads(output), "peak_memory": memory}

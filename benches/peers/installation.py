"""The peers' packages: whether they are there, and a virtual environment with them."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import venv

PACKAGES = ["brevitas", "numpy", "onnx", "onnxruntime", "qonnx", "torch"]


def missing():
    """Packages that this Python does not find."""
    return [package for package in PACKAGES if importlib.util.find_spec(package) is None]


def install(folder, requirements):
    """Makes a virtual environment with the packages, unless it is there; returns its Python."""
    python = os.path.join(os.path.abspath(folder), "bin", "python")
    if not os.path.exists(python):
        print(f"making a virtual environment in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True, stdout=sys.stderr)
    return python


def versions():
    """What is installed, by package."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}

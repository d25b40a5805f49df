"""The rounds of a comparison: fewbit and its peers, one after the other."""

import os
import sys
import tempfile
from collections import namedtuple

from peers import tables
from peers.fewbit import Fewbit
from peers.process import measure

TRAINING_BATCH = 100
EXECUTION_BATCHES = (100, 1)
TEST_IMAGES = 500
COMPARED_IMAGES = 100
FP32 = "RESNET18_32W32A_FLOAT_E8M23"

# trained: images of an epoch, and epochs; executed: images at each batch size.
Network = namedtuple("Network", "name dataset trained executed")
NETWORKS = [
    Network("RESNET18_8W8A_FLOAT_E4M3", "shapes", (1000, 2), {100: 2000, 1: 1000}),
    Network("RESNET18_5W5A_FLOAT_E3M1", "shapes", (1000, 2), {100: 2000, 1: 1000}),
    Network(FP32, "shapes", (1000, 2), {100: 2000, 1: 1000}),
    Network("RESNET18_4W4A", "shapes", (1000, 2), {100: 2000, 1: 1000}),
    Network("CNV_1W1A", "shapes", (4000, 3), {100: 4000, 1: 4000}),
    Network("TFC_2W2A", "glyphs", (20_000, 6), {100: 4000, 1: 4000}),
]

# Scales of activations are collected in two steps instead of 300, as on Brevitas' side.
SHORT_COLLECTION = {"RESNET18_4W4A": 'base = "RESNET18_4W4A"\n[architecture]\ncollection_steps = 2\n'}


def say(text):
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


class Comparison:
    """What is compared, the files for it in `folder`, and what was found.

    `shrink` divides the numbers of images and the seconds.
    """

    def __init__(self, program, threads, rounds, jit, shrink, folder):
        self.fewbit = Fewbit(program, threads)
        self.threads, self.rounds, self.jit, self.shrink, self.folder = threads, rounds, jit, shrink, folder
        self.seconds = 6 / shrink
        say("measuring the peak of the machine")
        self.peak = measure("peak", threads=threads)
        self.agreement = []
        self.fp32 = {}

    def training(self, networks):
        """Rows of training steps."""
        return [self._train(network) for network in networks]

    def execution(self, networks):
        """Rows of execution."""
        return [row for network in networks for batch in EXECUTION_BATCHES for row in self._execute(network, batch)]

    def _train(self, network):
        peer = "PyTorch" if network.name == FP32 else "Brevitas"
        count = self._fp32(network)["multiply_accumulates"]
        rounds = []
        for number in range(self.rounds):
            ours, theirs = self._train_fewbit(network), self._train_peer(network, peer)
            say(f"training {network.name}, round {number + 1}: fewbit {ours['images_per_second']:.1f} images/s, "
                f"{peer} {theirs['images_per_second']:.1f}")
            rounds.append((ours, theirs))
        # Forward, the gradient to the input, and the gradient to the weights.
        return tables.summary("training", network.name, TRAINING_BATCH, peer, rounds, 3 * 2 * count, self.peak)

    def _train_fewbit(self, network):
        images, epochs = network.trained
        images = max(2 * TRAINING_BATCH, images // self.shrink)
        name = network.name
        if name in SHORT_COLLECTION:
            name = os.path.join(self.folder, f"{network.name}.toml")
            with open(name, "w", encoding="utf-8") as file:
                file.write(SHORT_COLLECTION[network.name])
        with tempfile.TemporaryDirectory() as runs:
            return self.fewbit.train(name, network.dataset, images, epochs, TRAINING_BATCH, runs)

    def _train_peer(self, network, peer):
        # Warm-up: two steps collect scales, and the just-in-time compiler works in the first ones.
        return measure(
            peer, jit=self.jit, network=network.name, images=self._test_images(network), batch=TRAINING_BATCH,
            threads=self.threads, warm_up=4, seconds=self.seconds,
        )

    def _execute(self, network, batch):
        files = self._peers_files(network)
        count = 2 * self._fp32(network)["multiply_accumulates"]
        images = max(batch, network.executed[batch] // self.shrink)
        rounds = {peer: [] for peer in files}
        for number in range(self.rounds):
            ours = self.fewbit.execute(self._exported(network), network.dataset, images, batch)
            found = [f"fewbit {ours['images_per_second']:.1f} images/s"]
            for peer, file in files.items():
                theirs = self._execute_peer(network, peer, file, batch, first=number == 0)
                found.append(f"{peer} {theirs['images_per_second']:.1f}")
                rounds[peer].append((ours, theirs))
            say(f"executing {network.name} at batch {batch}, round {number + 1}: {', '.join(found)}")
        return [
            tables.summary("execution", network.name, batch, peer, pairs, count, self.peak)
            for peer, pairs in rounds.items()
        ]

    def _execute_peer(self, network, peer, file, batch, first):
        """What a peer reaches; in the first round its answers are compared where they have to be fewbit's."""
        expected = None
        if first and file == self._exported(network) or first and peer == "onnxruntime fp32" and network.name == FP32:
            expected = os.path.join(self.folder, f"{network.name}.npy")
            self.fewbit.execute(self._exported(network), network.dataset, COMPARED_IMAGES, 100, output=expected)
        result = measure(
            "qonnx" if peer == "qonnx" else "onnxruntime", file=file, images=self._test_images(network), batch=batch,
            threads=self.threads, seconds=self.seconds / 2, expected=expected,
        )
        if expected:
            self.agreement.append({"network": network.name, "batch": batch, "peer": peer, **result["agreement"]})
        return result

    def _peers_files(self, network):
        """What each peer runs, made when it is first asked for."""
        fp32 = self._fp32(network)["file"]
        integers = fp32.replace("any_batch.onnx", "int8.onnx")
        if not os.path.exists(integers):
            found = measure(
                "integers", source=fp32, target=integers, images=self._test_images(network), calibration_images=32,
                batch=100, threads=self.threads, seconds=self.seconds / 3,
            )
            say(f"onnxruntime in 8-bit integers: {found['form']} is the faster form")
        files = {"onnxruntime fp32": fp32, "onnxruntime int8": integers}
        # Without quantizers qonnx hands the whole file to onnxruntime, which is measured already.
        if network.name != FP32:
            files["qonnx"] = self._exported(network)
        return files

    def _fp32(self, network):
        """The file of the same architecture without quantizers, for any batch, and its multiply-accumulates."""
        name = FP32 if network.name.startswith("RESNET18") else network.name
        if name not in self.fp32:
            source = self._file(name, network.dataset, quantizers=name == FP32)
            file = source.replace("network.onnx", "any_batch.onnx")
            self.fp32[name] = {"file": file, **measure("any_batch", source=source, target=file)}
        return self.fp32[name]

    def _exported(self, network):
        """The network's file as fewbit exports it."""
        return self._file(network.name, network.dataset, quantizers=True)

    def _file(self, name, dataset, quantizers):
        folder = os.path.join(self.folder, name if quantizers else f"{name}_without_quantizers")
        file = os.path.join(folder, "network.onnx")
        if not os.path.exists(file):
            say(f"training {os.path.basename(folder)} for a moment, to export it")
            os.mkdir(folder)
            images = max(2 * TRAINING_BATCH, 1000 // self.shrink)
            self.fewbit.export(name, file, dataset, images, TRAINING_BATCH, quantizers)
        return file

    def _test_images(self, network):
        file = os.path.join(self.folder, f"{network.dataset}.npy")
        if not os.path.exists(file):
            self.fewbit.save_images(network.dataset, TEST_IMAGES, file)
        return file

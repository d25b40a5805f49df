"""fewbit's side: what its program is told, and the numbers that it measures itself."""

import json
import os
import statistics
import tempfile

from peers.process import run

# The published settings of the examples; images are generated, so that no download is needed.
TRAINING = ["--lr", "0.02", "--optim", "ADAM", "--loss", "SqrHinge", "--random_seed", "1", "--log_freq", "1000"]


class Fewbit:
    """The program, told to compute on so many threads."""

    def __init__(self, program, threads):
        self.program, self.threads = program, threads

    def call(self, *words):
        """Runs a command; returns what it printed and its peak memory."""
        return run([self.program, *words, "--threads", str(self.threads)])

    def version(self):
        return self.call("--version")[0].strip()

    def save_images(self, dataset, count, target):
        self.call("data", "save", dataset, "--limit", str(count), "--output", target, "--quiet")

    def export(self, network, file, dataset, images, batch, quantizers=True):
        """Trains for one short epoch, so that statistics are not those of the start, and exports."""
        words = [] if quantizers else ["--disable_quant"]
        with tempfile.TemporaryDirectory() as runs:
            self.train(network, dataset, images, 1, batch, runs, *words)
            self.call("export", runs, "--output", file, "--quiet")

    def train(self, network, dataset, images, epochs, batch, runs, *words):
        """Images per second, the median of the epochs after the first, and peak memory.

        The program measures the training part of an epoch: shuffling, loading, steps and logging, but
        neither the test that follows nor the start.
        """
        _, memory = self.call(
            "train", "--network", network, "--dataset", dataset, "--limit", str(images), "--epochs", str(epochs),
            "--batch_size", str(batch), "--experiments", runs, "--quiet", *TRAINING, *words,
        )
        (folder,) = os.listdir(runs)
        with open(os.path.join(runs, folder, "metrics.jsonl"), encoding="utf-8") as lines:
            rates = [json.loads(line)["images_per_second"] for line in lines]
        return {"images_per_second": statistics.median(rates[1:] or rates), "peak_memory": memory}

    def execute(self, file, dataset, images, batch, output=None):
        """Images per second of `fewbit run` over test images, and peak memory.

        The program starts its clock when the file is read and the images are made; turning pixels into
        numbers, batch by batch, and counting right answers are part of its time, and so is the first batch.
        """
        words = [] if output is None else ["--output", output]
        text, memory = self.call(
            "run", file, "--dataset", dataset, "--limit", str(images), "--batch", str(batch), "--json", *words
        )
        return {"images_per_second": json.loads(text)["images_per_second"], "peak_memory": memory}

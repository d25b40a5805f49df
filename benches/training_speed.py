#!/usr/bin/env python3
"""Training speed of fewbit against Brevitas: images/s, interleaved rounds on the same machine.

    cargo build --release
    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install -r benches/requirements.txt
    /tmp/peers/bin/python benches/training_speed.py

Both train the same network at batch 100 with Adam, square hinge loss and weight clipping. Brevitas
steps over one batch that already lies in memory; fewbit runs its whole epoch (shuffling, loading,
augmenting, logging) over its generated dataset, so that the comparison favours Brevitas.
Every round starts both programs anew, one after the other; the table gives medians over the rounds
and the median of the ratios of a round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

BATCH = 100


def brevitas_images_per_second(network: str, threads: int, seconds: float) -> float:
    """Steps for `seconds` after a warm-up; runs in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    from brevitas_examples.bnn_pynq.models import model_with_cfg
    from brevitas_examples.bnn_pynq.models.losses import SqrHingeLoss

    torch.manual_seed(1)
    model, _ = model_with_cfg(network, False)
    model.train()
    loss_function = SqrHingeLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    images = torch.rand(BATCH, 1, 28, 28)
    targets = -torch.ones(BATCH, 10)
    targets[torch.arange(BATCH), torch.randint(0, 10, (BATCH,))] = 1

    def step() -> None:
        loss = loss_function(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.clip_weights(-1, 1)

    for _ in range(5):
        step()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        steps += 1
    return steps * BATCH / (time.perf_counter() - start)


def fewbit_images_per_second(program: str, network: str, threads: int, epochs: int) -> float:
    """The median over the epochs after the first, as the program itself measures them."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [program, "train", "--network", network, "--dataset", "glyphs", "--epochs", str(epochs),
             "--batch_size", str(BATCH), "--threads", str(threads), "--experiments", folder, "--quiet"],
            check=True, stdout=subprocess.DEVNULL,
        )
        (run,) = os.listdir(folder)
        with open(os.path.join(folder, run, "metrics.jsonl"), encoding="utf-8") as lines:
            rates = [json.loads(line)["images_per_second"] for line in lines if '"epoch"' in line]
    return statistics.median(rates[1:] or rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fewbit", default="target/release/fewbit", help="the program to measure")
    parser.add_argument("--networks", nargs="+", default=["TFC_2W2A", "LFC_1W1A"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="of Brevitas in a round")
    parser.add_argument("--epochs", type=int, default=6, help="of fewbit in a round")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--brevitas-worker", metavar="NETWORK", help=argparse.SUPPRESS)
    args = parser.parse_args()

    if args.brevitas_worker:
        print(brevitas_images_per_second(args.brevitas_worker, args.threads, args.seconds))
        return

    rows = []
    for network in args.networks:
        ours, theirs = [], []
        for _ in range(args.rounds):
            worker = [sys.executable, __file__, "--brevitas-worker", network,
                      "--threads", str(args.threads), "--seconds", str(args.seconds)]
            out = subprocess.run(worker, check=True, capture_output=True, text=True).stdout
            theirs.append(float(out.split()[-1]))
            ours.append(fewbit_images_per_second(args.fewbit, network, args.threads, args.epochs))
        rows.append({
            "network": network,
            "fewbit_images_per_second": statistics.median(ours),
            "brevitas_images_per_second": statistics.median(theirs),
            "ratio": statistics.median(a / b for a, b in zip(ours, theirs)),
            "rounds": args.rounds,
            "threads": args.threads,
        })
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"batch {BATCH}, {args.threads} threads, medians of {args.rounds} rounds")
    print(f"{'network':12} {'fewbit':>14} {'Brevitas':>14} {'ratio':>7}")
    for row in rows:
        print(f"{row['network']:12} {row['fewbit_images_per_second']:10.0f} im/s "
              f"{row['brevitas_images_per_second']:9.0f} im/s {row['ratio']:6.1f}x")


if __name__ == "__main__":
    main()

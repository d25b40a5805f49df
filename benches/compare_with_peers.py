#!/usr/bin/env python3
"""How fast fewbit is beside its peers, measured in turns on the same machine.

    cargo build --release
    python3 benches/compare_with_peers.py --install /tmp/peers --quick    # the first time: installs the peers
    /tmp/peers/bin/python benches/compare_with_peers.py                   # all of it; about an hour

Training steps at batch 100: Brevitas, and PyTorch for the network without quantizers.
Execution at batch 100 and 1: onnxruntime with the same network in fp32 and in 8-bit integers, and the
executor of the qonnx package with the very file that fewbit exported.

In every round each program runs in a process of its own, one after the other, on as many cores as there are
threads. The tables give medians over the rounds, the median of the ratios of a round, and the largest peak
memory (of the process, so on the peers' side with Python and all it imports). Images are generated.

What is in the numbers. Peers: whole steps or runs on arrays in memory, after a warm-up. fewbit: what its
program reports of itself; in training whole epochs after the first (shuffling, loading, augmenting, steps,
logging), in execution all batches of `fewbit run` (loading, running, counting; the first batch, too). So
the comparison favours the peers. Brevitas runs with its just-in-time compiler, which it recommends
(--no-jit is without). Learned scales are past the steps in which they are collected, on both sides.
GFLOP/s are 2 x multiply-accumulates, padding included, and three times as many for a training step; the
peak is what matrix products reach here. Methods that save work can exceed it.

Leave the machine alone while this runs. One more busy program on two cores makes a step of PyTorch up to a
hundred times slower (its two threads wait for each other), which flatters fewbit; the page says how much
processor time other programs had.

Answers are compared, too: exit code 1 if qonnx, or onnxruntime on the fp32 network, predicts another class
than fewbit from the same file.
"""

import argparse
import json
import os
import platform
import sys
import tempfile

from peers import installation, tables
from peers.comparison import NETWORKS, Comparison, say
from peers.process import ProcessFailed

REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "requirements.txt")
NAMES = [network.name for network in NETWORKS]
QUICK = ["RESNET18_5W5A_FLOAT_E3M1", "TFC_2W2A"]


def main():
    args = arguments()
    if args.install:
        go_on_in_environment(args.install)
    missing = installation.missing()
    if missing:
        sys.exit(f"not installed here: {', '.join(missing)}\n"
                 f"hint: --install DIR makes a virtual environment with them, or\n"
                 f"      {sys.executable} -m pip install -r {REQUIREMENTS}")
    if not os.access(args.fewbit, os.X_OK):
        sys.exit(f"{args.fewbit} is no program\nhint: cargo build --release, or --fewbit PATH")
    confine(args.threads)
    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"warning: other programs are computing (load {load:.1f}); the numbers will mean nothing")
    networks = [network for network in NETWORKS if network.name in args.networks]
    rows = []
    before = busy_seconds()
    with tempfile.TemporaryDirectory() as folder:
        try:
            comparison = Comparison(
                args.fewbit, args.threads, args.rounds, not args.no_jit, 10 if args.quick else 1, folder
            )
            if args.only != "execution":
                rows += comparison.training(networks)
            if args.only != "training":
                rows += comparison.execution(networks)
        except ProcessFailed as error:
            sys.exit(str(error))
    machine = {
        "processor": processor(), "threads": args.threads, "rounds": args.rounds,
        "seconds_of_all_programs": busy_seconds() - before, "seconds_of_the_comparison": own_seconds(),
        "fewbit": comparison.fewbit.version(), "peers": installation.versions(),
        "brevitas_just_in_time": not args.no_jit,
        "peak_gflop_per_second": {name: comparison.peak[name] for name in ("fp32", "bf16", "int8")},
    }
    document = {"machine": machine, "agreement": comparison.agreement, "rows": rows}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
    print(page(document, args.markdown))
    sys.exit(any(found["predictions_that_differ"] for found in comparison.agreement))


def arguments():
    count = len(cores())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NAMES, metavar="NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--only", choices=["training", "execution"])
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 5")
    parser.add_argument("--threads", type=int, metavar="N", default=count, help="of every program; default: all cores")
    parser.add_argument("--fewbit", default="target/release/fewbit", metavar="PATH", help="the program to measure")
    parser.add_argument("--quick", action="store_true",
                        help=f"a test of this script in a few minutes: one short round of {' and '.join(QUICK)}")
    parser.add_argument("--no-jit", action="store_true", help="Brevitas without its just-in-time compiler")
    parser.add_argument("--markdown", action="store_true", help="print tables of Markdown")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured")
    parser.add_argument("--install", metavar="DIR",
                        help="install the peers into this virtual environment, which is made if need be, and go on there")
    args = parser.parse_args()
    args.networks = args.networks or (QUICK if args.quick else NAMES)
    args.rounds = args.rounds or (1 if args.quick else 5)
    if not 1 <= args.threads <= count:
        parser.error(f"--threads {args.threads}: expected 1 to {count}, the cores there are")
    return args


def go_on_in_environment(folder):
    """Installs, and replaces this process by the same one inside of the virtual environment."""
    python = installation.install(folder, REQUIREMENTS)
    words = sys.argv[1:]
    place = next(index for index, word in enumerate(words) if word.split("=")[0] == "--install")
    del words[place:place + (1 if "=" in words[place] else 2)]
    os.execv(python, [python, os.path.abspath(__file__), *words])


def cores():
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count()))


def confine(threads):
    """Keeps this process and all that it starts on as many cores as there are threads.

    qonnx cannot be told a number of threads: inside of it, onnxruntime takes one for each core.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores()[:threads])


def processor():
    """The processor's name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def busy_seconds():
    """Processor time of all programs since the system started; 0 where the system does not tell."""
    try:
        with open("/proc/stat", encoding="utf-8") as lines:
            user, nice, system = (int(word) for word in next(lines).split()[1:4])
    except OSError:
        return 0.0
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """Processor time of this process and of those that it started."""
    return sum(os.times()[:4])


def page(document, markdown):
    """All tables and what belongs to them, as text."""
    machine, peak = document["machine"], document["machine"]["peak_gflop_per_second"]
    everything = machine["seconds_of_all_programs"]
    others = max(0.0, 1 - machine["seconds_of_the_comparison"] / everything) if everything else 0.0
    lines = [
        f"{machine['processor']}, threads: {machine['threads']}; rounds: {machine['rounds']}",
        f"other programs had {100 * others:.0f} % of all processor time",
        f"{machine['fewbit']}; {', '.join(f'{name} {version}' for name, version in machine['peers'].items())}",
        f"peak, by matrix products: fp32 {peak['fp32']:,.0f}, bf16 {peak['bf16']:,.0f}, "
        f"8-bit integers {peak['int8']:,.0f} GFLOP/s",
    ]
    for kind, title in (("training", "Training steps"), ("execution", "Execution")):
        rows = [row for row in document["rows"] if row["kind"] == kind]
        if rows:
            lines += ["", f"{title}, images/s", "", tables.table(rows, markdown)]
    if document["agreement"]:
        lines += ["", "Answers"]
    for found in document["agreement"]:
        lines.append(
            f"- {found['network']} in {found['peer']} at batch {found['batch']}: {found['predictions_that_differ']} of "
            f"{found['images']} predictions differ; logits by at most {found['largest_difference']:.3g}, "
            f"among images by {found['spread_of_logits']:.3g}"
        )
    return ("  \n" if markdown else "\n").join(lines[:4]) + "\n" + "\n".join(lines[4:])


if __name__ == "__main__":
    main()

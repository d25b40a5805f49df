"""Tables out of rows: medians over the rounds, and the median of the ratios of a round."""

import statistics

HEADINGS = [
    "network", "batch", "fewbit", "peer", "its images/s", "ratio", "lowest-highest", "peak memory", "its", "GFLOP/s",
    "of fp32 peak", "its GFLOP/s",
]


def summary(kind, network, batch, peer, rounds, flops, peak):
    """A row: what fewbit and a peer reached in the rounds. `flops` are of one image."""
    ours = statistics.median(ours["images_per_second"] for ours, _ in rounds)
    theirs = statistics.median(theirs["images_per_second"] for _, theirs in rounds)
    ratios = [ours["images_per_second"] / theirs["images_per_second"] for ours, theirs in rounds]
    return {
        "kind": kind,
        "network": network,
        "batch": batch,
        "peer": peer,
        "fewbit_images_per_second": ours,
        "peer_images_per_second": theirs,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "fewbit_peak_memory_bytes": max(ours["peak_memory"] for ours, _ in rounds),
        "peer_peak_memory_bytes": max(theirs["peak_memory"] for _, theirs in rounds),
        "fewbit_gflop_per_second": ours * flops / 1e9,
        "peer_gflop_per_second": theirs * flops / 1e9,
        "fewbit_share_of_fp32_peak": ours * flops / 1e9 / peak["fp32"],
    }


def table(rows, markdown):
    """The rows as text, or as a table of Markdown."""
    cells = [HEADINGS] + [_cells(row) for row in rows]
    if markdown:
        cells.insert(1, ["---", "---:"] + ["---:", "---"] + ["---:"] * (len(HEADINGS) - 4))
        return "\n".join(f"| {' | '.join(line)} |" for line in cells)
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    left = {HEADINGS.index("network"), HEADINGS.index("peer")}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in cells
    )


def _cells(row):
    return [
        row["network"],
        str(row["batch"]),
        _rounded(row["fewbit_images_per_second"]),
        row["peer"],
        _rounded(row["peer_images_per_second"]),
        f"{row['ratio']:.2f}x" if row["ratio"] < 10 else f"{row['ratio']:.0f}x",
        f"{_rounded(min(row['ratios']))}-{_rounded(max(row['ratios']))}",
        _memory(row["fewbit_peak_memory_bytes"]),
        _memory(row["peer_peak_memory_bytes"]),
        _rounded(row["fewbit_gflop_per_second"]),
        f"{100 * row['fewbit_share_of_fp32_peak']:.0f} %",
        _rounded(row["peer_gflop_per_second"]),
    ]


def _rounded(number):
    """Three digits, as many as mean something."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def _memory(count):
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"

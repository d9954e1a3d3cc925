"""Makes docs/benchmarks.md and its plots of what `make bench` has recorded in bench/results/.

What a part measures and why, and why a goal is missed, stands beside the part, in `bench/parts/<part>.md`; the figures
come from the record alone.
"""

import json
import statistics
from pathlib import Path

import matplotlib as mpl

import scaling
from harness import HERE, RESULTS, Goal, Measurement, Plot

DOCS = HERE.parent / "docs"
ORDER = ["night", "memory", "latency", "writes", "writers", "trail", "burst", "growth", "workers"]
HEAD = """# Benchmarks

Made by `make bench` from its own results (`bench/results/`); each part says at which sizes and of which commit.
By default sizes are small, and it takes half an hour; `SIZE=full` takes those that the goals are meant
for, and hours; `PARTS="night writes"` some parts only. Commits wait for the disk, where a part does not say otherwise.
The machine is shared and noisy: ways that are compared took turns in the same run, and **only ratios mean anything**. A
ratio is that of two ways in the same round; *median (lowest to highest)* is over the rounds. So that nothing happens by
chance to one way alone, tables are vacuumed between rounds and not by autovacuum, and plans are not compiled (JIT).

"""


def main() -> None:
    parts = [
        json.loads((RESULTS / f"{part}.json").read_text()) for part in ORDER if (RESULTS / f"{part}.json").exists()
    ]
    text = HEAD + summary(parts) + "".join(section(part) for part in parts)
    (DOCS / "benchmarks.md").write_text(text.rstrip() + "\n")
    print("docs/benchmarks.md is written")
    if scaling.main():
        print("docs/scaling.md is written")


def summary(parts: list[dict]) -> str:
    rows = ["## Goals\n", "| what | goal | reached | |", "| --- | --- | --- | --- |"]
    for part in parts:
        for goal in (Goal(**goal) for goal in part["goals"]):
            limit = f"{'at most' if goal.is_most else 'at least'} {number(goal.limit)} {goal.unit}"
            mark = "met" if goal.is_met else f"**missed**, see [{part['title'].lower()}](#{anchor(part['title'])})"
            if min(goal.values) < goal.limit < max(goal.values):
                mark += "; rounds differ on it"
            rows.append(f"| {goal.what} | {limit} | {spread(goal.values)} {goal.unit} | {mark} |")
    return "\n".join(rows) + "\n\n"


def section(part: dict) -> str:
    lines = [f"## {part['title']}\n"]
    if (prose := HERE / "parts" / f"{part['part']}.md").exists():
        lines.append(prose.read_text())
    size = ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in part["size"].items())
    about = part["environment"]
    lines.append(f"Sizes: {size}. " + " ".join(part["notes"]))
    lines.append(
        f"Commit {about['commit']}; {about['when']}; {about['machine']}; load {about['load']}; "
        f"PostgreSQL {about['PostgreSQL']}, Redis {about['Redis']}, Python {about['Python']}.\n"
    )
    measurements = [Measurement(**each) for each in part["measurements"]]
    for what in dict.fromkeys(each.what for each in measurements):
        lines += table(what, [each for each in measurements if each.what == what])
    for index, plot in enumerate(Plot(**each) for each in part["plots"]):
        name = f"benchmarks/{part['part']}-{index + 1}.svg"
        draw(plot, DOCS / name)
        lines.append(f"![{plot.title}]({name})\n")
    return "\n".join(lines) + "\n"


def table(what: str, measurements: list[Measurement]) -> list[str]:
    reference = measurements[0]
    if len(measurements) == 1:  # nothing to compare with
        return [f"**{what}**: {spread(reference.values)} {reference.unit}", ""]
    lines = [f"**{what}**\n", f"| | {reference.unit} | × {reference.way} |", "| --- | --- | --- |"]
    for each in measurements:
        same = len(each.values) == len(reference.values)
        pairs = zip(each.values, reference.values, strict=True) if same else [
            (statistics.median(each.values), statistics.median(reference.values))
        ]  # fmt: skip
        shares = [a / b for a, b in pairs if b]
        lines.append(f"| {each.way} | {spread(each.values)} | {spread(shares) if shares else ''} |")
    return [*lines, ""]


def spread(values: list[float]) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return number(middle) if low == high else f"{number(middle)} ({number(low)} to {number(high)})"


def number(value: float) -> str:
    return (
        f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}" if value < 1 else f"{value:.3g}"
    )


def anchor(title: str) -> str:
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def draw(plot: Plot, path: Path) -> None:
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same picture of the same figures
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for way, points in plot.lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=way)
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    if plot.is_log:
        axes.set(xscale="log", yscale="log")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()

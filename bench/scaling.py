"""Makes docs/scaling.md of bench/scaling.md and what `make bench` has recorded: a calculation, with its assumptions."""

import json
import statistics

from harness import HERE, RESULTS

NEEDS = ("night", "latency", "writers", "growth", "workers")
LINES = 100_000_000
LINES_OF_A_LICENSE = 32
YEARS = 5
HISTORY_YEARS = 3
"""For how long history is kept (docs/configuration.md: HISTORY_DAYS)."""
WORKING_SECONDS_A_YEAR = 250 * 8 * 3600
PEAK = 20
STEPS_OF_A_BATCH = 10
"""What a transaction of `engine.drain` asks PostgreSQL, BEGIN, savepoint and COMMIT included."""
BATCH_LICENSES = 500
RTT_MS = 0.5
"""There and back in a local network."""


def main() -> bool:
    """False: not every part that it rests on is there."""
    if not all((RESULTS / f"{part}.json").exists() for part in NEEDS):
        return False
    night_us = median("night", "Nothing to repair", "the night")
    python_ms, postgres_ms = (
        median("workers", f"CPU time of {whose}", "1 process") for whose in ("the engine's processes", "PostgreSQL")
    )
    rates = {way: values for what, way, values in measured("workers") if what == "A backlog is worked off"}
    licenses = LINES / LINES_OF_A_LICENSE
    a_second = LINES / YEARS / WORKING_SECONDS_A_YEAR
    orm = [(what, values) for what, way, values in measured("latency") if way == "ORM write" and "percentile" in what]
    writers = {way: values for what, way, values in measured("writers") if what.endswith("single inserts")}
    split = [
        f"{what.rpartition(' by ')[2]} {way}: {statistics.median(values):,.0f}"
        for what, way, values in measured("workers")
        if what.startswith("A backlog is worked off by ")
    ]
    hosts = note("workers", "Two hosts")
    write_ms = {way: values[0] for what, way, values in measured("latency") if what.startswith("CPU time of an ORM")}
    write_postgres_ms, write_python_ms = write_ms.values()
    disk_kib = {way: values[0] for what, way, values in measured("growth") if what == "On disk, with indexes"}
    of_license_kib, of_balances_kib, of_history_kib = disk_kib.values()
    figures = {
        "python_ms": f"{python_ms:.3f}",
        "postgres_ms": f"{postgres_ms:.2f}",
        "share": f"{100 * postgres_ms / (postgres_ms + python_ms):.0f}",
        "rates": ", ".join(f"{way}: {statistics.median(values):,.0f}" for way, values in rates.items()),
        "hosts": f"{hosts}\n  Licenses of a backlog in a second: {', '.join(split)}." if split else hosts,
        "rtt_ms": f"{RTT_MS:g}",
        "steps": str(STEPS_OF_A_BATCH),
        "batch": str(BATCH_LICENSES),
        "steps_ms": f"{STEPS_OF_A_BATCH * RTT_MS / BATCH_LICENSES:.3f}",
        "latencies": ", ".join(f"{what.partition(',')[0]}: {values[0]:.0f} ms" for what, values in orm),
        "writers": ", ".join(f"{way}: {statistics.median(values):,.0f}" for way, values in writers.items()),
        "lines": f"{LINES:,}",
        "lines_of_a_license": str(LINES_OF_A_LICENSE),
        "years": str(YEARS),
        "peak": str(PEAK),
        "licenses": f"{licenses:,.0f}",
        "a_second": f"{a_second:.1f}",
        "at_peak": f"{a_second * PEAK:.0f}",
        "cores_at_peak": f"{a_second * PEAK * (write_postgres_ms + write_python_ms) / 1000:.2f}",
        "write_postgres_ms": f"{write_postgres_ms:.1f}",
        "write_python_ms": f"{write_python_ms:.1f}",
        "best": note("workers", "The most"),
        "leaves": note("latency", "The 99th percentile"),
        "step_ms": STEPS_OF_A_BATCH * RTT_MS,
        "disk_gib": f"{(of_license_kib + of_balances_kib) * licenses / 2**20:,.0f}",
        "balances_gib": f"{of_balances_kib * licenses / 2**20:,.0f}",
        "history_years": str(HISTORY_YEARS),
        "history_gib": f"{of_history_kib * LINES / YEARS * HISTORY_YEARS / 2**20:,.0f}",
        "night_us": f"{night_us:.0f}",
        "night_minutes": f"{night_us * licenses / 60e6:.0f}",
        "rules_minutes": f"{(postgres_ms + python_ms) * licenses / 60e3:.0f}",
    }
    text = (HERE / "scaling.md").read_text().format_map(figures)
    (HERE.parent / "docs" / "scaling.md").write_text(text)
    return True


def measured(part: str) -> list[tuple[str, str, list[float]]]:
    """What, way and values of everything that a part measured."""
    record = json.loads((RESULTS / f"{part}.json").read_text())
    return [(each["what"], each["way"], each["values"]) for each in record["measurements"]]


def note(part: str, begins: str) -> str:
    """What a part says about itself."""
    [found] = [each for each in json.loads((RESULTS / f"{part}.json").read_text())["notes"] if each.startswith(begins)]
    return found


def median(part: str, what: str, way: str) -> float:
    [values] = [values for its, whose, values in measured(part) if (its, whose) == (what, way)]
    return statistics.median(values)

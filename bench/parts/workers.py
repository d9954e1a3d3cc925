"""How far more workers carry: a backlog worked off by one, two, four and eight processes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Plot, Record, ratios, sizes, take_turns
from stack import LOGS, check_balances, connect, cpu_seconds, make_world, postmaster, set_up, until

PROCESSES = (1, 2, 4, 8)
DRAINER = """
import json, sys
from django_setup import set_up_django
set_up_django()
from django.db import connection
from ledger import engine
engine.drain()  # opens the connection, and finds nothing
print("ready", flush=True)
sys.stdin.readline()
done = engine.drain()
print(json.dumps({"recomputed": done.recomputed, "changes": done.changes}), flush=True)
sys.stdin.readline()
"""


def main() -> None:
    size = sizes(small={"licenses": 4_000, "rounds": 2}, full={"licenses": 20_000, "rounds": 5})
    record = Record("workers", "More workers", size)
    set_up()
    with connect() as session:
        make_world(session, size["licenses"])
        drains = {count: [] for count in PROCESSES}

        def drain(count: int) -> float:
            drains[count].append(measure(session, size["licenses"], count))
            return drains[count][-1]["rate"]

        names = {count: f"{count} process{'es' if count > 1 else ''}" for count in PROCESSES}
        rates = take_turns({names[count]: lambda count=count: drain(count) for count in PROCESSES}, size["rounds"])
        record.measured("A backlog is worked off", "licenses a second", rates)
        for what, unit, key in (
            ("CPU time of the engine's processes", "ms for each license", "python_ms"),
            ("CPU time of PostgreSQL", "ms for each license", "postgres_ms"),
            ("Cores in use, both together", "cores", "cores"),
        ):
            record.measured(what, unit, {
                names[count]: [drained[key] for drained in drains[count]] for count in PROCESSES
            })  # fmt: skip
        record.measured("Processes that had any of it", "processes", {
            names[count]: [drained["busy"] for drained in drains[count]] for count in PROCESSES
        })  # fmt: skip
        check_balances()
    medians = [sorted(rates[names[count]])[size["rounds"] // 2] for count in PROCESSES]
    record.plots.append(Plot("Licenses a second over processes", "processes", "licenses a second", {
        "measured": list(zip(PROCESSES, medians, strict=True)),
        "as many times the first": [(count, medians[0] * count) for count in PROCESSES],
    }))  # fmt: skip
    best = max(PROCESSES, key=lambda count: medians[PROCESSES.index(count)])
    gain = ratios(rates[names[best]], rates[names[1]])
    record.notes.append(f"The most was done by {names[best]}: {sorted(gain)[len(gain) // 2]:.2g} times what one does.")
    record.save()


def measure(session: psycopg.Connection, licenses: int, count: int) -> dict[str, float]:
    """Change every license, and let so many processes drain: what it took. All that was asked for is done, once."""
    workers = [start(number) for number in range(count)]
    try:
        for worker in workers:
            if worker.stdout.readline().strip() != "ready":
                raise SystemExit(f"a process that drains does not start; its errors are in {LOGS}")
        session.execute("UPDATE license_exportitem SET cif_fc = cif_fc + 1")
        server = postmaster(session)
        used = cpu_seconds(server), sum(cpu_seconds(worker.pid) for worker in workers)
        begin = time.monotonic()
        for worker in workers:
            tell(worker)
        done = [json.loads(worker.stdout.readline()) for worker in workers]
        until("nothing is left", lambda: not session.execute("SELECT 1 FROM ledger_licensechange").fetchone())
        seconds = time.monotonic() - begin
        postgres_seconds = cpu_seconds(server) - used[0]
        python_seconds = sum(cpu_seconds(worker.pid) for worker in workers) - used[1]
    finally:
        for worker in workers:
            tell(worker)
            worker.wait()
    if sum(each["changes"] for each in done) != licenses or sum(each["recomputed"] for each in done) != licenses:
        raise SystemExit(f"{licenses} licenses were changed, and {done} done")
    return {
        "rate": licenses / seconds,
        "python_ms": python_seconds / licenses * 1000,
        "postgres_ms": postgres_seconds / licenses * 1000,
        "cores": (python_seconds + postgres_seconds) / seconds,
        "busy": sum(each["changes"] > 0 for each in done),
    }


def start(number: int) -> subprocess.Popen[str]:
    """A process that drains when it is told, and ends when it is told again."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"drainer-{number}.log").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", DRAINER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=Path(__file__).resolve().parents[2] / "deploy" / "local",
            text=True,
        )


def tell(worker: subprocess.Popen[str]) -> None:
    worker.stdin.write("\n")
    worker.stdin.flush()


if __name__ == "__main__":
    main()

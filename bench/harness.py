"""What the parts of `make bench` share: sizes, taking turns, and a record of what was measured.

A part is a script of `bench/parts/`, run with a private PostgreSQL and Redis of its own. It records measurements, goals
and plots, and writes them to `bench/results/<part>.json`; `bench/report.py` makes docs/benchmarks.md of all of them.

Machines differ and are shared, so an absolute time means nothing. Ways that are compared take turns within one run,
round by round, and a ratio is that of two ways in the same round; its spread is over the rounds.
"""

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

HERE = Path(__file__).parent
RESULTS = HERE / "results"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what a part has started, it ends
PATHS = [str(HERE), str(HERE.parent / "backend"), str(HERE.parent / "deploy" / "local")]


@dataclass(frozen=True)
class Measurement:
    """What one way took, or did, in each round."""

    what: str
    """What was asked for: `nothing to repair`. Measurements of the same words stand in one table."""
    way: str
    """Who did it: `bare sums`."""
    unit: str
    values: list[float]


@dataclass(frozen=True)
class Goal:
    """A goal, and what was reached: a ratio for each round, or one figure."""

    what: str
    limit: float
    is_most: bool
    """Whether the limit is the most that is good, or the least."""
    values: list[float]
    unit: str = "×"

    @property
    def reached(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        return self.reached <= self.limit if self.is_most else self.reached >= self.limit


@dataclass(frozen=True)
class Plot:
    """Lines over a common x axis."""

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]
    is_log: bool = True
    """Both axes."""


@dataclass
class Record:
    """What a part measured."""

    part: str
    title: str
    size: dict[str, int]
    measurements: list[Measurement] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Facts of this run that a reader needs: one sentence each."""

    def measured(self, what: str, unit: str, rounds: Mapping[str, Sequence[float]]) -> None:
        """Record the values of each way, and print them. The first way is what the others are compared with."""
        for way, values in rounds.items():
            self.measurements.append(Measurement(what, way, unit, list(values)))
            print(
                f"{what}: {way}: {statistics.median(values):.4g} {unit}, {min(values):.4g} to {max(values):.4g}",
                flush=True,
            )

    def goal(self, what: str, values: Sequence[float], *, at_most: float | None = None, at_least: float | None = None,
             unit: str = "×") -> None:  # fmt: skip
        """Record a goal with what was reached in each round, and print it."""
        if (limit := at_most if at_least is None else at_least) is None or None not in (at_most, at_least):
            raise ValueError("a goal has one limit")
        goal = Goal(what, limit, at_least is None, list(values), unit)
        self.goals.append(goal)
        mark = "met" if goal.is_met else "MISSED"
        print(f"goal: {what}: {goal.reached:.3g} {unit}, limit {limit:g}: {mark}", flush=True)

    def save(self) -> None:
        """Write the record where the report finds it."""
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(asdict(self) | {"environment": environment()}, indent=1, ensure_ascii=False)
        (RESULTS / f"{self.part}.json").write_text(text + "\n")


def sizes(*, small: Mapping[str, int], full: Mapping[str, int]) -> dict[str, int]:
    """The sizes of a part: those of SIZE=small (default) or SIZE=full, each of which the environment may override by
    its name in capitals: LICENSES=1000."""
    name = os.environ.get("SIZE", "small")
    chosen = {"small": small, "full": full}.get(name)
    if chosen is None:
        raise SystemExit(f"SIZE must be small or full, not {name!r}")
    return {key: int(os.environ.get(key.upper(), value)) for key, value in chosen.items()}


def take_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call each way once a round, in opposite order every other round; what each returned, by way."""
    values: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in list(ways)[:: -1 if number % 2 else 1]:
            values[way].append(ways[way]())
    return values


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(of, to, strict=True)]


def environment() -> dict[str, str]:
    """Machine and versions, as a reader needs them to judge the figures."""
    import celery
    import django
    import kombu
    import psycopg
    import redis

    with psycopg.connect(os.environ["DATABASE_URL"]) as session:
        [postgres] = session.execute("SHOW server_version").fetchone()
        settings = dict(session.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('shared_buffers', 'work_mem', 'fsync')"
        ).fetchall())  # fmt: skip
    server = redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).info("server")["redis_version"]
    models = [line.partition(":")[2].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")]
    kib = [int(line.split()[1]) for line in _read("/proc/meminfo") if line.startswith("MemTotal")]
    commit = _git("describe", "--always", "--exclude=*")
    if _git("status", "--porcelain", "--", ":/", ":!/docs", ":!/bench/results"):  # what the parts themselves write
        commit += "-dirty"
    return {
        "commit": commit or "of no checkout",
        "when": f"{datetime.now(ZoneInfo('Asia/Kolkata')):%d %b %Y %H:%M} IST",
        "machine": f"{len(os.sched_getaffinity(0))} cores ({(models or [platform.machine()])[0]}), "
        f"{(kib or [0])[0] / 2**20:.0f} GiB, {platform.system()}; shared with others",
        "load": f"{os.getloadavg()[2]:.1f} (average of the last 15 minutes, our own included)",
        "PostgreSQL": f"{postgres} ({', '.join(f'{name} {value}' for name, value in settings.items())})",
        "Redis": server,
        "Python": f"{sys.version.split()[0]}; django {django.__version__}, celery {celery.__version__}, "
        f"kombu {kombu.__version__}, psycopg {psycopg.__version__}",
    }


def _git(*arguments: str) -> str:
    """What git says; nothing where there is no checkout."""
    return subprocess.run(["git", "-C", HERE, *arguments], capture_output=True, text=True, check=False).stdout.strip()


def _read(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []

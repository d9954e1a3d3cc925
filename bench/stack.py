"""The stack as users run it, for the parts of `make bench`, and what its processes and PostgreSQL's use."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from harness import HERE, PATHS

sys.path[:0] = PATHS

from django_setup import CHECKOUT, set_up_django  # noqa: E402
from embedded.binaries import find_postgres_bindir  # noqa: E402
from processes import celery, running  # noqa: E402

START_SECONDS = 60
FOLLOW_SECONDS = 900
LOGS = CHECKOUT / ".local" / "bench"
TICKS = os.sysconf("SC_CLK_TCK")
RELAY_IS_THERE = """
    SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = x'4C630000'::bigint::oid AND objid = 2 AND granted
"""


def set_up() -> None:
    """Django, and a database that is migrated."""
    set_up_django()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def connect() -> psycopg.Connection:
    """A session that commits each statement. What is written by it, no signal announces."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def make_world(session: psycopg.Connection, licenses: int) -> None:
    """So many licenses of 8 items of 4 lines, with balances, vacuumed and analysed, and nothing pending."""
    for statement in (HERE / "world.sql").read_text().split(";\n"):
        if statement.strip():
            session.execute(statement, {"n": licenses})
    compute(range(1, licenses + 1))
    session.execute("VACUUM ANALYZE")


def compute(license_ids: range) -> None:
    """Their balances, all of them."""
    from ledger.engine import recompute

    outcome = recompute(license_ids)
    if outcome.recomputed != len(license_ids):
        raise SystemExit(f"only {outcome.recomputed} of {len(license_ids)} licenses were computed")


@contextmanager
def up(
    *, processes: int = 2, beat: bool = True, relay: Sequence[str] | None = (), include: str | None = None
) -> Iterator[list[int]]:
    """A worker with so many pool processes, beat, and a relay with these arguments (None: none), as in production.
    Yields the process ids of worker and relay, when all of them are ready. `include` is a module of this folder with
    more tasks."""
    LOGS.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(HERE)} if include else os.environ
    more = (f"--include={include}",) if include else ()
    with ExitStack() as stack, connect() as session:
        worker = stack.enter_context(
            celery(
                "worker",
                f"--concurrency={processes}",
                "--loglevel=info",
                *more,
                log="worker.log",
                folder=LOGS,
                environment=environment,
            )
        )
        if beat:
            stack.enter_context(celery("beat", "--loglevel=info", log="beat.log", folder=LOGS))
        pids = [worker.pid]
        if relay is not None:
            process = stack.enter_context(running([sys.executable, "manage.py", "relay", *relay], LOGS / "relay.log"))
            pids.append(process.pid)
            until("the relay is up", lambda: session.execute(RELAY_IS_THERE).fetchone())
        from lmanagement.celery import app

        until("the worker answers", lambda: app.control.ping(timeout=0.5))
        yield pids


def wait_until_followed(session: psycopg.Connection) -> None:
    """Until no change is pending."""
    until(
        "no change is pending",
        lambda: not session.execute("SELECT 1 FROM ledger_licensechange LIMIT 1").fetchone(),
        pause_seconds=0.05,
        patience_seconds=FOLLOW_SECONDS,
    )


def check_balances() -> int:
    """Every balance equals its facts, and nothing is pending: how many licenses that are. Ends the part otherwise."""
    from reconcile.audit import audit_all, together
    from reconcile.guard import trigger_faults

    found = together(audit_all(trigger_faults(), 500))
    if found.differences or found.pending:
        raise SystemExit(f"{len(found.differences)} differences, {found.pending} pending: {found.differences[:3]}")
    return found.licenses_checked


def until(
    what: str, is_so: Callable[[], object], *, pause_seconds: float = 0.01, patience_seconds: float = START_SECONDS
) -> None:
    """Wait for it, but not for ever."""
    deadline = time.monotonic() + patience_seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {patience_seconds} seconds; logs are in {LOGS}")
        time.sleep(pause_seconds)


def pgbench(script: str, *, clients: int, seconds: int, waits_for_disk: bool = True) -> tuple[float, int]:
    """Run a script by so many clients for so long: transactions a second, and how many. None of them failed."""
    options = os.environ.get("PGOPTIONS", "") + ("" if waits_for_disk else " -c synchronous_commit=off")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            [find_postgres_bindir() / "pgbench", "--no-vacuum", f"--file={file.name}", f"--client={clients}",
             "--jobs=2", f"--time={seconds}", "--protocol=prepared", os.environ["DATABASE_URL"]],
            capture_output=True, text=True, check=True, env={**os.environ, "PGOPTIONS": options},
        )  # fmt: skip
    if not re.search(r"failed transactions: 0 ", done.stdout):
        raise SystemExit(f"pgbench: {done.stdout}{done.stderr}")
    count = re.search(r"actually processed: (\d+)", done.stdout)
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    return float(rate[1]), int(count[1])


class Trigger:
    """The capture trigger of inserted lines of bills of entry, whose parts may be taken away to see what they cost."""

    TABLE = "ledger_billofentryline"
    TRY = "NOT pg_try_advisory_xact_lock_shared((x'4C63'::bigint << 48) | 1)"

    def __init__(self, session: psycopg.Connection) -> None:
        from ledger.sql import load

        self.session = session
        self.name, self.function = session.execute(
            "SELECT tgname, pg_get_functiondef(tgfoid) FROM pg_trigger "
            f"WHERE tgrelid = '{self.TABLE}'::regclass AND tgname LIKE '%capture_insert%'"
        ).fetchone()
        self.outbox_alone = self._replaced(load("wake_relay"), "")
        self.notify_always = self._replaced(self.TRY, "true")

    def install(self, function: str | None) -> None:
        """This function, or none."""
        if function:
            self.session.execute(function)
        state = "ENABLE ALWAYS" if function else "DISABLE"
        self.session.execute(f"ALTER TABLE {self.TABLE} {state} TRIGGER {self.name}")

    def _replaced(self, part: str, by: str) -> str:
        if part not in self.function:
            raise SystemExit("the trigger's text has changed: bench/stack.py must follow")
        return self.function.replace(part, by)


def postmaster(session: psycopg.Connection) -> int:
    """The process of PostgreSQL whose children are all its others."""
    return _stat(session.info.backend_pid)["ppid"]


def tree(root: int) -> list[int]:
    """A process and all that descend from it, as they are now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))):
            children.setdefault(stat["ppid"], []).append(int(entry.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def cpu_seconds(root: int) -> float:
    """What a process and all that descend from it have used, with those that have ended."""
    return sum(stat["ticks"] for process in tree(root) if (stat := _stat(process))) / TICKS


def memory_mib(process: int) -> Mapping[str, float] | None:
    """Resident memory: `Rss`, shared pages counted in full, and `Pss`, shared pages divided among those who share
    them. None: the process has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return None
    return {name: int(kib) / 1024 for name, kib in re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.MULTILINE)}


def _stat(process: int) -> dict[str, int]:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {}
    return {"ppid": int(fields[1]), "ticks": sum(map(int, fields[11:15]))}

"""`make faults`: a storm. Real processes follow four writers while faults strike; when it is over, every balance must
be right without anybody's doing.

A script and not a test, since it has servers of its own, which it kills, and since one looks at its output;
test_storm.py runs a short one with the other tests. Faults and operations follow from the seed; timing is the
machine's. Exit status 1: something was not as docs/reliability.md says. Logs and journals stay in the folder.
"""

import argparse
import itertools
import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / folder) for folder in ("deploy/local", "")]

import psycopg  # noqa: E402

from django_setup import CHECKOUT, set_up_django  # noqa: E402
from servers import Servers, servers, temporary_servers  # noqa: E402
from tests.faults import postgres_log, world  # noqa: E402
from tests.faults.daemon import Daemon  # noqa: E402
from tests.faults.faults import Fault, Faults, plan  # noqa: E402

PATIENCE_SECONDS = 400
"""How long after the storm all may take to be right: longer than the longest pause of anybody, which is a lease of two
minutes. It is no measure of anything."""
SHORT_SECONDS = 120
"""A storm shorter than this is not waited for by leases: they are declared over."""

TROUBLE_OF_STATE = {
    "25006": "read-only",
    "53100": "disk full",
    "53300": "full",
    "57P01": "away",
    "57P02": "away",
    "57P03": "away",
}
AMONG_WRITERS = ("40P01", "40001")

# Ends of tracebacks that are a fault's own; whatever else is found in a log is wrong.
OF_A_FAULT = re.compile(
    r"(psycopg|django\.db\.utils)\.(OperationalError|InterfaceError): "
    r"|django\.db\.utils\.InternalError: cannot execute .* in a read-only transaction"
    r"|redis\.exceptions\.(ConnectionError|TimeoutError|BusyLoadingError|OutOfMemoryError): "
    r"|redis\.exceptions\.ResponseError: Error running script .*OOM command not allowed"  # by a script of kombu's
    r"|kombu\.exceptions\.OperationalError: "
    r"|celery\.beat\.SchedulingError: Couldn't apply scheduled task "
    r".*(connect|reading from|Timeout|closed|not allowed when used)"
    r"|billiard\.einfo\.ExceptionWithTraceback:"  # and then, a traceback of its own, with which
    r"|billiard\.exceptions\.WorkerLostError: Worker exited prematurely: (signal N \(SIGKILL\)|exitcode N)"
    r"|billiard\.exceptions\.WorkerLostError: Could not start worker processes"  # killed before the worker was ready
    # Celery's own, when it has lost its connection: it goes on; or a sweep is lost, and the next is sent; or (hostname)
    # a worker ends that had a message which it had not begun, and is started again
    r"|AttributeError: 'NoneType' object has no attribute '(connection_errors|hostname)'"
    r"|celery\.beat\.SchedulingError: .*: 'NoneType' object has no attribute 'client'"
    # the same: what it had half read from a process of its pool is forgotten (lmanagement/watchdog.py)
    r"|_pickle\.UnpicklingError: "
)
BY_ITS_WATCHDOG = "this worker has begun nothing for"
ENDS_A_WORKER = re.compile(
    r"Unrecoverable error: (server:(OutOfMemory|Response)Error|AttributeError\(.* 'hostname'|UnpicklingError\()"
    r"|Unrecoverable error: OperationalError\('Error \d+ connecting to "
    r"|Unrecoverable error: WorkerLostError\('Could not start worker processes'\)"
    rf"|{BY_ITS_WATCHDOG}"
)
"""With what a worker gives up, to be started again: Redis takes nothing, or is gone again while the worker takes up its
connection; Celery's own faults above; a process killed before it was ready; our watchdog."""
TRACEBACK = re.compile(r"^ *Traceback \(most recent call last\):\n", re.MULTILINE)
CHAINED = re.compile(r"^ *(During handling of the above|The above exception was the direct cause)", re.MULTILINE)


class Storm:
    """Servers, processes and writers; and what came of it."""

    def __init__(
        self, servers: Servers, folder: Path, seed: int, storm_seconds: float, only: str | None = None
    ) -> None:
        self.seed, self.storm_seconds, self.only = seed, storm_seconds, only
        self._servers, self._folder = servers, folder
        self._environment = {
            "DATABASE_URL": servers.database_url,
            "CELERY_BROKER_URL": servers.broker_url,
            "CELERY_RESULT_BACKEND": servers.broker_url,
            "SWEEP_SECONDS": "2",
            "OWED_NIGHT_SECONDS": "10",
        }
        self._daemons: dict[str, Daemon] = {}
        self._writers: list[subprocess.Popen[bytes]] = []
        self._struck: Counter[str] = Counter()
        self._complaints: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for writer in self._writers:
            writer.kill()
            writer.wait()
        stops = [threading.Thread(target=daemon.stop) for daemon in self._daemons.values()]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()

    def run(self) -> bool:
        """Whether all was as it should be. Prints what happened."""
        self._prepare()
        self._start_processes()
        faults = Faults(self._servers, self._daemons, self._environment, self._folder / "night.log")
        writing_since = time.monotonic()
        self._start_writers()
        self._strike(faults)
        writing_seconds = time.monotonic() - writing_since
        self._stop_writers()
        over = time.time()
        settled_seconds = self._wait_until_right(over)
        self._complaints += faults.complaints
        self._without_workers = faults.without_workers
        operations = self._check_writers(faults)
        self._check_facts(operations)
        self._check_balances()
        told = self._check_locks()
        tracebacks = self._check_logs()
        self._print(operations, writing_seconds, settled_seconds, told, tracebacks)
        return not self._complaints

    # ── The storm ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> None:
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        connection.close()  # it would not outlive the storm
        with psycopg.connect(self._servers.database_url, autocommit=True) as session:
            session.execute(world.WORLD)
            for name, value in postgres_log.SETTINGS.items():
                session.execute(f"ALTER SYSTEM SET {name} = {value}")
            session.execute("SELECT pg_reload_conf()")

    def _start_processes(self) -> None:
        commands = {
            name: ("-m", "celery", "-A", "lmanagement", "worker", "--loglevel=info", "--concurrency=2", "-n", host)
            for name, host in (("worker 1", "one@storm"), ("worker 2", "two@storm"))
        }
        commands["beat"] = ("-m", "celery", "-A", "lmanagement", "beat", "--loglevel=info")
        commands["relay"] = ("manage.py", "relay")
        for name, command in commands.items():
            environment = {**self._environment, "PGAPPNAME": f"engine {name}"}
            self._daemons[name] = Daemon(name, *command, folder=self._folder, environment=environment)

    def _start_writers(self) -> None:
        for number in range(1, world.WRITERS + 1):
            with (self._folder / f"writer {number}.log").open("wb") as journal:
                self._writers.append(
                    subprocess.Popen(
                        [sys.executable, Path(__file__).with_name("writer.py"), str(self.seed), str(number)],
                        env={**os.environ, **self._environment, "PGAPPNAME": f"writer {number}"},
                        stdin=subprocess.PIPE,
                        stdout=journal,
                        stderr=(self._folder / f"writer {number}.errors").open("wb"),
                    )
                )

    def _strike(self, faults: Faults) -> None:
        """Let every fault of the plan strike at its time, and wait until all are over."""

        kinds = faults.strike if self.only is None else {self.only: (faults.strike | faults.drills)[self.only]}

        def strike(fault: Fault) -> None:
            try:
                kinds[fault.kind](fault)
            except Exception as error:  # noqa: BLE001 (the storm itself failed: that must be told)
                faults.complaints.append(f"the storm could not do '{fault.kind}': {type(error).__name__}: {error}")

        began = time.monotonic()
        strikes = []
        for fault in plan(self.seed, self.storm_seconds, list(kinds)):
            self._look_after_all_until(began + fault.at_seconds)
            print(f"{time.monotonic() - began:7.1f} s  {fault.kind}", flush=True)
            strikes.append(threading.Thread(target=strike, args=(fault,)))
            strikes[-1].start()
            self._struck[fault.kind] += 1
        self._look_after_all_until(began + self.storm_seconds)
        while any(thread.is_alive() for thread in strikes):
            self._look_after_all_until(time.monotonic() + 0.1)

    def _look_after_all_until(self, moment: float) -> None:
        while True:
            for daemon in self._daemons.values():
                daemon.look_after()
            if time.monotonic() > moment:
                return
            time.sleep(0.05)

    def _stop_writers(self) -> None:
        for number, writer in enumerate(self._writers, 1):
            writer.communicate()  # its input ends
            if writer.returncode:
                self._complaints.append(f"writer {number} ended with status {writer.returncode}; see its log")

    def _wait_until_right(self, over: float) -> float:
        """Wait until everything is worked off and everybody at work; how long it took. Only looks."""
        if self.storm_seconds < SHORT_SECONDS:
            self._sql("UPDATE reconcile_reconciliationchunk SET leased_until = now() WHERE finished_at IS NULL")
        empty_after = 0.0
        while True:
            self._look_after_all_until(time.monotonic() + 0.2)
            missing = self._what_is_missing(over)
            if not empty_after and "the outbox is empty" not in missing:
                empty_after = time.time() - over
            if not missing:
                return empty_after
            if time.time() > over + PATIENCE_SECONDS:
                self._complaints += [f"not {PATIENCE_SECONDS} seconds after the storm: {what}" for what in missing]
                return empty_after or -1

    def _what_is_missing(self, over: float) -> list[str]:
        is_so = {
            "the outbox is empty": not self._sql("SELECT 1 FROM ledger_licensechange LIMIT 1"),
            "the quarantine is empty": not self._sql("SELECT 1 FROM ledger_quarantine LIMIT 1"),
            "no run is going on": not self._sql("SELECT 1 FROM reconcile_reconciliationrun WHERE status = 'running'"),
            "the night has been": bool(self._sql("SELECT 1 FROM reconcile_reconciliationrun WHERE trigger = 'night'")),
            "no session of the engine forgot its transaction": not self._sql(
                "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'engine%' "
                "AND state LIKE 'idle in%' AND state_change < now() - interval '5 seconds'"
            ),
            "every process runs": all(daemon.is_running for daemon in self._daemons.values()),
            "beat sends": self._has_logged("beat", "Sending due task", over),
            **{f"{name} works": self._has_logged(name, " succeeded in ", over) for name in ("worker 1", "worker 2")},
        }
        return [what for what, is_true in is_so.items() if not is_true]

    def _has_logged(self, name: str, text: str, since: float) -> bool:
        """Whether a process of Celery's has logged this since then."""
        return any(when > since for when in moments(self._log(name), text))

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def _sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._servers.database_url, autocommit=True) as session:
            cursor = session.execute(statement)
            return cursor.fetchall() if cursor.description else []

    # ── What came of it ───────────────────────────────────────────────────────────────────────────────────────────────

    def _check_writers(self, faults: Faults) -> list[world.Operation]:
        """Every operation that was committed. Nothing that a writer saw committed is lost, and no error that it got was
        our doing."""
        committed = set(self._sql("SELECT writer, number FROM public.storm_journal"))
        self._errors: Counter[str] = Counter()
        self._longest_seconds = 0.0
        for writer in range(1, world.WRITERS + 1):
            for line in self._log(f"writer {writer}").splitlines():
                entry = json.loads(line)
                if "number" in entry:
                    if (writer, entry["number"]) not in committed:
                        self._complaints.append(f"operation {entry['number']} of writer {writer} is lost")
                    if not any(began <= entry["ended"] and entry["began"] <= end for _, began, end in faults.windows):
                        self._longest_seconds = max(self._longest_seconds, entry["ended"] - entry["began"])
                    continue
                state = entry["sqlstate"]
                error = f"{entry['error']} {state or 'connection'}"
                if state and state.startswith("53"):  # what the server lacks stands at the end of its sentence
                    error += f": {entry['text'].splitlines()[0].rpartition(': ')[2]}"
                self._errors[error] += 1
                if state in AMONG_WRITERS:
                    continue
                trouble = TROUBLE_OF_STATE.get(state or "", "" if state else "away")
                if "too many clients" in entry["text"] or "remaining connection slots" in entry["text"]:
                    trouble = "full"
                if not any(k == trouble and began <= entry["ended"] <= end for k, began, end in faults.windows):
                    self._complaints.append(f"writer {writer} got an error without a cause: {entry}")
        return [world.operation(self.seed, *key) for key in sorted(committed)]

    def _check_facts(self, operations: list[world.Operation]) -> None:
        """The facts are what the writers wrote."""
        foreseen, there = world.foresee(operations), world.read(self._sql)
        for name in foreseen.__dataclass_fields__:
            if getattr(foreseen, name) != getattr(there, name):
                self._complaints.append(f"the facts are not what the writers committed: {name}")

    def _check_balances(self) -> None:
        from license.clock import business_date
        from reconcile.guard import trigger_faults
        from tests import oracle
        from tests.conftest import assert_balances_follow_facts

        if faults := trigger_faults():
            self._complaints.append(f"triggers are at fault: {faults}")
        # a night repairs, and would hide what the engine has lost
        if found := self._sql("SELECT license_id, field, cause FROM reconcile_drift WHERE cause <> 'quarantined'"):
            self._complaints.append(f"a night found {len(found)} differences that should not be: {found[:10]}")
        try:
            assert_balances_follow_facts()
        except AssertionError:
            for expected, stored in zip(oracle.expected(business_date()), oracle.stored(), strict=True):
                wrong = sorted(key for key in {*expected, *stored} if expected.get(key) != stored.get(key))
                self._complaints.append(f"{len(wrong)} balances are not what the facts say: {wrong[:10]}")

    def _check_locks(self) -> postgres_log.Told:
        """No writer waited for the engine, nor the engine for a writer, and writers deadlocked with writers alone."""
        with self._servers.postgres.log_path.open(errors="replace") as log:
            told = postgres_log.read(log)
        for (waiter, holder), count in told.waits.items():
            of_us = {waiter.split()[0], holder.split()[0]}
            if of_us == {"writer", "engine"} or (waiter == "writer" and holder == "somebody"):
                what = told.examples[waiter, holder]
                self._complaints.append(f"{waiter} waited for {holder}, {count} times; the first time for {what}")
        for names, count in told.deadlocks.items():
            if {name.split()[0] for name in names} != {"writer"}:
                self._complaints.append(f"{count} deadlocks between {', '.join(names)}")
        return told

    def _check_logs(self) -> Counter[str]:
        """What the tracebacks in the logs of our processes end with; those that no fault explains are told."""
        ends: Counter[str] = Counter()
        (self._folder / "night.log").touch()
        for name in (*self._daemons, "night"):
            for traceback in TRACEBACK.split(self._log(name))[1:]:
                if CHAINED.search(traceback):
                    continue  # another one follows that it led to
                end = next((line for line in traceback.splitlines() if re.match(r"[A-Za-z_.]+(:|$)", line)), "?")
                end = re.sub(r"\d+", "N", end)
                # what else is named there is another one each time
                ends[f"{name}: " + re.sub(r"\(\S+ .*\) of pipeline", "of pipeline", end)[:150]] += 1
                if not OF_A_FAULT.match(end):
                    self._complaints.append(f"a traceback of {name} that no fault explains: {end}")
        self._ended: Counter[str] = Counter()
        self._ended_by_watchdog: Counter[str] = Counter()
        for name, daemon in self._daemons.items():
            for how in daemon.ended_by_itself:
                (self._ended_by_watchdog if BY_ITS_WATCHDOG in how else self._ended)[f"{name}: {how}"] += 1
                if not ENDS_A_WORKER.search(how):
                    self._complaints.append(f"{name} ended by itself: {how}")
        self._complaints = list(dict.fromkeys(self._complaints))
        return ends

    def _print(
        self,
        operations: list[world.Operation],
        writing_seconds: float,
        settled_seconds: float,
        told: postgres_log.Told,
        tracebacks: Counter[str],
    ) -> None:
        def table(title: str, counts: Counter[Any]) -> None:
            print(f"{title}: {sum(counts.values())}")
            for what, count in counts.most_common():
                print(f"    {count:>6}  {what if isinstance(what, str) else ', '.join(what)}")

        print(f"\nseed {self.seed}, {writing_seconds:.0f} seconds")
        table("writes", Counter(operation.kind for operation in operations))
        table("faults", self._struck)
        table("errors that writers got", self._errors)
        print(f"longest write while PostgreSQL was well: {self._longest_seconds:.2f} s")
        table("deadlocks between", told.deadlocks)
        table("waits of 20 ms or more, who for whom", told.waits)
        logs = self._log("worker 1") + self._log("worker 2")
        table("tasks done", Counter(re.findall(r"Task (\S+)\[\S+ succeeded in", logs)))
        [(history,)] = self._sql("SELECT count(*) FROM ledger_balancehistory")
        print(f"balances changed: {history}")
        for began, end in self._without_workers:
            span = f"to_timestamp({began}) AND to_timestamp({end})"
            [(history,)] = self._sql(f"SELECT count(*) FROM ledger_balancehistory WHERE changed_at BETWEEN {span}")
            print(f"of them while no worker was there, for {end - began:.0f} s: {history}")
        quarantined = sum(self._log(name).count(" is quarantined: ") for name in self._daemons)
        print(f"recomputes that ended in quarantine: {quarantined}")
        runs = self._sql("SELECT trigger || ', ' || status FROM reconcile_reconciliationrun")
        table("reconciliations", Counter(run for (run,) in runs))
        drift = self._sql("SELECT cause FROM reconcile_drift")
        table("drift that they found", Counter(cause for (cause,) in drift))
        table("tracebacks", tracebacks)
        table("processes that ended by themselves", self._ended)
        table("workers that their watchdog ended", self._ended_by_watchdog)
        for name in ("worker 1", "worker 2"):
            print(f"longest pause of {name} between two tasks: {longest_pause(self._log(name)):.0f} s")
        print(f"outbox empty {settled_seconds:.1f} s after the last write")
        for complaint in self._complaints:
            print(f"WRONG: {complaint}")
        print("all is right" if not self._complaints else f"{len(self._complaints)} things are wrong")
        only = f" ONLY='{self.only}'" if self.only else ""
        print(f"replay: make faults MINUTES={self.storm_seconds / 60:g} SEED={self.seed}{only}", flush=True)


def moments(log: str, text: str) -> list[float]:
    """When a process of Celery's logged this."""
    line = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}): .*" + re.escape(text), re.MULTILINE)
    return [
        time.mktime(time.strptime(second, "%Y-%m-%d %H:%M:%S")) + int(millisecond) / 1000
        for second, millisecond in line.findall(log)
    ]


def longest_pause(log: str) -> float:
    """The seconds in which a worker did nothing."""
    done = moments(log, " succeeded in ")
    return max((after - before for before, after in itertools.pairwise(done)), default=0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description="A storm of faults.")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--folder", type=Path, help="where logs stay; default: .local/faults, or that of the fault")
    parser.add_argument("--only", metavar="FAULT", help="this fault alone, again and again")
    parser.add_argument(
        "--disk", type=lambda name: Path(name).resolve(), help="where the servers keep their data; 'disk full' fills it"
    )
    options = parser.parse_args()
    if options.only == "disk full" and (options.disk is None or not options.disk.is_mount()):
        parser.error("'disk full' needs --disk, a small disk of its own: nothing else is filled")
    options.folder = options.folder or CHECKOUT / ".local" / "-".join(["faults", *(options.only or "").split()])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # sessions of ours that a fault ends
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    print(f"seed {options.seed}", flush=True)
    with temporary_servers() if options.disk is None else servers(options.disk, is_durable=False) as live:
        os.environ["DATABASE_URL"] = live.database_url
        os.environ["CELERY_BROKER_URL"] = os.environ["CELERY_RESULT_BACKEND"] = live.broker_url
        set_up_django()
        try:
            with Storm(live, options.folder, options.seed, options.minutes * 60, options.only) as storm:
                return 0 if storm.run() else 1
        finally:
            shutil.copy(live.postgres.log_path, options.folder)


if __name__ == "__main__":
    sys.exit(main())

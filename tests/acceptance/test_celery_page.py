"""What docs/celery.md and docs/configuration.md promise to those who run Celery, command by command."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery.result import AsyncResult
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from redis import Redis

from django_setup import BACKEND, CHECKOUT
from ledger import hints
from ledger.engine import drain
from license.models import ExportItem, License
from license.tasks import sync_all_licenses
from lmanagement.celery import app
from processes import running
from servers import Servers
from tests.acceptance.conftest import PATIENCE_SECONDS, balance_of, manage, nothing_is_pending, until
from tests.conftest import assert_balances_follow_facts, one, sql
from tests.deploy.units import environment_of, option, placed

BIN = Path(sysconfig.get_path("scripts"))
PAGE = (CHECKOUT / "docs/celery.md").read_text(encoding="utf-8")

WORKER = "celery -A lmanagement worker --loglevel=info"
BEAT = "celery -A lmanagement beat --loglevel=info"
BOTH = "celery -A lmanagement worker --beat --loglevel=info"
INSPECT = {what: f"celery -A lmanagement inspect {what}" for what in ("active", "registered", "stats", "scheduled")}

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Generator[None]:
    """No schedule, log or pid file in the checkout; and no message at the broker, which the next would find there."""
    before = files()
    yield
    assert files() == before
    hints.flush()
    app.control.purge()


def files() -> set[Path]:
    return {path for path in BACKEND.rglob("*") if "__pycache__" not in path.parts}


def words(line: str) -> list[str]:
    """A documented command line; its `celery` is that of our virtual environment."""
    program, *arguments = shlex.split(line)
    return [str(BIN / program), *arguments]


@contextmanager
def up(line: str, log: Path, *, says: str = "ready.", **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A documented command while it is up. It then ends by itself on SIGTERM, with status 0."""
    with running(words(line), log, **options) as process:
        until(lambda: says in log.read_text() or process.poll() is not None, f"{line} is up")
        assert process.poll() is None, log.read_text()
        yield process
    assert process.returncode == 0, log.read_text()


@contextmanager
def up_as_unit(
    unit: str, folder: Path, *, says: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command of a unit while it is up, and its pid file; its log file has said what it is to say."""
    command = placed(unit, folder)
    log, pid_file = Path(option(command, "logfile")), Path(option(command, "pidfile"))
    surroundings = {**environment_of(unit), **environment}
    with up(shlex.join(command), folder / Path(unit).stem, says="", environment=surroundings) as process:
        until(lambda: log.exists() and says in log.read_text(), f"the log file of {unit} says {says}")
        assert int(pid_file.read_text()) == process.pid
        yield process, pid_file


def inspect(*what: str) -> list[str]:
    """What these say, asked all at once: each waits a second for workers to answer."""
    asked = [
        subprocess.Popen(words(f"{INSPECT[name]} --json"), cwd=BACKEND, stdout=subprocess.PIPE, text=True)
        for name in what
    ]
    said = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in asked]
    assert [process.returncode for process in asked] == [0] * len(asked)
    return said


def make_drift(license: License) -> None:
    """Write a balance by hand, as somebody does who means it: the night has something to repair."""
    until(lambda: balance_of(license) == 1000 and nothing_is_pending(), "the balance of a new license")
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET balance_cif = 1")


def waiting_for_a_lock(query: str) -> int:
    return one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s", f"%{query}%")


def assert_is_as_documented(result: dict[str, str], *, status: str) -> None:
    keys = {"status", "output", "timestamp"}
    assert set(result) == (keys if status == "success" else keys | {"error"})
    assert result["status"] == status
    when = datetime.fromisoformat(result["timestamp"])
    assert when.utcoffset() is not None
    assert when <= timezone.now()


def test_every_documented_command_is_tried_here() -> None:
    documented = {line.partition("#")[0].strip() for line in re.findall(r"^celery .*", PAGE, re.MULTILINE)}
    assert documented == {WORKER, BEAT, BOTH, *INSPECT.values()}


def test_a_task_is_seen_at_work_and_its_result_comes_back(license: License, tmp_path: Path) -> None:
    """Worker and beat in one process. The night is held by somebody's lock, after it has begun a run."""
    with up(BOTH, tmp_path / "log") as process:
        make_drift(license)
        later = sync_all_licenses.apply_async(eta=timezone.now() + timedelta(hours=1))
        with psycopg.connect(os.environ["DATABASE_URL"]) as holder:
            holder.execute("LOCK TABLE reconcile_reconciliationchunk")
            task = sync_all_licenses.delay()
            until(lambda: waiting_for_a_lock("reconcile_reconciliationchunk") == 1, "the task is in mid-work")
            until(lambda: f"{later.id}] received" in (tmp_path / "log").read_text(), "the worker holds the other")
            assert task.state == "PENDING"
            [active], [scheduled], [stats], [registered] = (
                json.loads(said).values() for said in inspect("active", "scheduled", "stats", "registered")
            )
        result = task.get(timeout=PATIENCE_SECONDS)
    assert ("license.tasks.sync_all_licenses", task.id) in {(at_work["name"], at_work["id"]) for at_work in active}
    assert [waits["request"]["id"] for waits in scheduled] == [later.id]  # and nothing of beat's schedule
    assert stats["pid"] == process.pid
    assert set(registered) >= {
        "license.tasks.sync_all_licenses",
        "ledger.tasks.recompute",
        "ledger.tasks.sweep",
        "reconcile.tasks.check_night",
        "reconcile.tasks.take_chunk",
    }
    assert task.state == "SUCCESS"
    assert_is_as_documented(result, status="success")
    assert "1 licenses checked, 1 drifted" in result["output"]
    assert_balances_follow_facts()
    queue = Redis.from_url(os.environ["CELERY_BROKER_URL"]).lrange("reconcile", 0, -1)
    assert any(later.id in str(message) for message in queue)  # given back by the worker, which had not begun it


@pytest.mark.long
def test_what_is_in_flight_ends_and_what_waits_is_left_to_the_next(license: License, tmp_path: Path) -> None:
    """The night worker of the systemd unit is told to stop in mid-task; then worker and beat, each a process of its
    own."""
    drain()
    with (
        up_as_unit("celery-night.service", tmp_path, says="ready.") as (process, pid_file),
        psycopg.connect(os.environ["DATABASE_URL"]) as holder,
    ):
        holder.execute("LOCK TABLE reconcile_reconciliationrun")
        first, second, third = [sync_all_licenses.delay() for _ in range(3)]
        until(lambda: waiting_for_a_lock("reconcile_reconciliationrun") == 2, "both of its processes are at work")
        process.send_signal(signal.SIGTERM)
        until(lambda: "Warm shutdown" in (tmp_path / "celery-night").read_text(), "it has been told")
        assert process.poll() is None
        holder.rollback()
        process.wait(PATIENCE_SECONDS)
    assert not pid_file.exists()
    for task in (first, second):
        assert_is_as_documented(task.get(timeout=PATIENCE_SECONDS), status="success")

    hints.flush()
    # everybody else is told: PostgreSQL alone knows of this write, so beat must have it looked for
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE license_exportitem SET cif_fc = 1234")
    often = {**os.environ, "SWEEP_SECONDS": "0.5"}
    with up(WORKER, tmp_path / "worker"), up(BEAT, tmp_path / "beat", says="Starting", environment=often):
        assert_is_as_documented(third.get(timeout=PATIENCE_SECONDS), status="success")
        until(lambda: balance_of(license) == 1234 and nothing_is_pending(), "a raw write")
    assert_balances_follow_facts()


def test_the_unit_of_beat_keeps_its_log_and_pid_file(tmp_path: Path) -> None:
    with up_as_unit("celery-beat.service", tmp_path, says="Sending due task sweep", SWEEP_SECONDS="0.5") as (
        _,
        pid_file,
    ):
        pass
    assert not pid_file.exists()


# Sends itself SIGTERM in a __del__, where Python drops the SystemExit of Celery's handler.
TOLD_AT_THE_WORST_MOMENT = """
import os, signal, time
from celery import beat

class Trap:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

class Scheduler(beat.Scheduler):
    def tick(self):
        Trap()
        return super().tick()
"""


def test_beat_ends_whatever_it_is_at_when_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text(TOLD_AT_THE_WORST_MOMENT)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SWEEP_SECONDS": "0.5"}
    with running(words(f"{BEAT} --scheduler trap:Scheduler"), tmp_path / "log", environment=environment) as process:
        until(lambda: process.poll() is not None, "it has ended")
    assert process.returncode == 0
    assert "Exception ignored in" in (tmp_path / "log").read_text()


# Sends itself SIGTERM while its scheduler is made: as the first thing, where Celery is in the middle of importing what
# keeps results, when the schedule is there and not yet in place, and in a __del__.
TOLD_WHILE_IT_BEGINS = """
import os, signal, sys
from celery import beat

def be_told():
    print("told", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

class Importing:
    def find_spec(self, name, *_):
        if name == "celery.backends.asynchronous":
            assert "celery.backends.redis" in sys.modules
            be_told()

class Trap:
    def __del__(self):
        be_told()

class Scheduler(beat.PersistentScheduler):
    def setup_schedule(self):
        moment = os.environ["MOMENT"]
        if moment == "first":
            be_told()
        if moment == "import":
            sys.meta_path.insert(0, Importing())
        if moment == "dropped":
            Trap()
        super().setup_schedule()
        if moment == "last":
            be_told()
"""


@pytest.mark.parametrize("moment", ["first", "import", "last", "dropped"])
def test_beat_ends_when_it_is_told_while_it_begins(moment: str, tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text(TOLD_WHILE_IT_BEGINS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "MOMENT": moment}
    command = words(f"{BEAT} --scheduler trap:Scheduler --schedule {tmp_path / 'schedule'}")
    with running(command, tmp_path / "log", environment=environment) as process:
        until(lambda: process.poll() is not None, "it has ended")
    said = (tmp_path / "log").read_text()
    assert "told" in said
    assert process.returncode == 0, said
    assert ("Exception ignored in" if moment == "dropped" else "Shutting down") in said
    assert ("Traceback" in said) == (moment == "dropped"), said


FROM_A_SHELL = """
import json
from license.tasks import sync_all_licenses
task = sync_all_licenses.delay()
print(json.dumps([task.id, task.get(timeout=60), task.state]))
"""


def sync_from_a_shell(**options: Any) -> tuple[str, dict[str, str], str]:
    """Task id, result and state, as somebody sees them in `manage.py shell`."""
    done = manage("shell", "--verbosity", "0", "-c", FROM_A_SHELL, **options)
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def test_results_are_kept_in_postgresql(license: License, tmp_path: Path) -> None:
    """CELERY_RESULT_BACKEND=django-db. The second night fails: somebody locks a table of facts."""
    sql("TRUNCATE django_celery_results_taskresult")
    settings = {"CELERY_RESULT_BACKEND": "django-db"}
    impatient = {**os.environ, **settings, "PGOPTIONS": "-c lock_timeout=200ms"}
    with up(WORKER, tmp_path / "log", environment=impatient):
        until(lambda: balance_of(license) == 1000 and nothing_is_pending(), "the balance of a new license")
        task_id, result, state = sync_from_a_shell(**settings)
        with psycopg.connect(os.environ["DATABASE_URL"]) as holder:
            holder.execute("LOCK TABLE ledger_billofentryline")
            failed_id, failed, _ = sync_from_a_shell(**settings)
    assert state == "SUCCESS"
    assert_is_as_documented(result, status="success")
    assert_is_as_documented(failed, status="error")
    assert "1 chunks of the run failed: licenses 0310000001 to 0310000001" in failed["error"]
    rows = sql("SELECT task_id, status, result FROM django_celery_results_taskresult ORDER BY id")
    assert [(row[0], row[1], json.loads(row[2])) for row in rows] == [
        (task_id, "SUCCESS", result),
        (failed_id, "SUCCESS", failed),
    ]
    assert AsyncResult(task_id).state == "PENDING"  # Redis does not know of it


def test_plain_migrate_makes_the_table_of_results(live_servers: Servers) -> None:
    with psycopg.connect(live_servers.database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE new")
        try:
            url = live_servers.database_url.rpartition("/")[0] + "/new"
            done = manage("migrate", DATABASE_URL=url)
            assert done.returncode == 0, done.stderr
            with psycopg.connect(url) as new:
                assert new.execute("SELECT count(*) FROM django_celery_results_taskresult").fetchone() == (0,)
        finally:
            connection.execute("DROP DATABASE new WITH (FORCE)")


# --- .env -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """A checkout with a backend/ of its own, for a `.env` of its own."""
    copy = tmp_path / "license manager" / "backend"
    shutil.copytree(BACKEND, copy, ignore=shutil.ignore_patterns("__pycache__", ".env"))
    return copy


@pytest.fixture
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "CELERY_SKIP_CHECKS"):
        monkeypatch.delenv(name)


SHOW = """
from django.conf import settings as s
print(s.CELERY_BROKER_URL, s.CELERY_RESULT_BACKEND, s.CELERY_ENABLE_UTC, s.CELERY_TIMEZONE)
"""


def test_all_is_read_from_env_as_people_write_it(
    backend: Path, live_servers: Servers, nothing_is_set: None, tmp_path: Path
) -> None:
    broker = live_servers.broker_url.rpartition("/")[0]
    (backend / ".env").write_text(
        f"""
        DATABASE_URL={live_servers.database_url}
        CELERY_BROKER_URL = '{broker}/5'
        CELERY_RESULT_BACKEND = '{broker}/6'
        CELERY_TIMEZONE = 'UTC'
        CELERY_ENABLE_UTC = True
        """
    )
    with up(WORKER, tmp_path / "log", backend=backend):
        _, result, state = sync_from_a_shell(backend=backend)
    assert state == "SUCCESS"
    assert_is_as_documented(result, status="success")
    assert "/5" in (tmp_path / "log").read_text()
    assert "/6" in (tmp_path / "log").read_text()


def test_the_environment_wins_over_env(backend: Path, nothing_is_set: None) -> None:
    redis = "CELERY_BROKER_URL = 'redis://written/0'\nCELERY_RESULT_BACKEND = 'redis://written/1'\n"
    (backend / ".env").write_text(f"{redis}CELERY_ENABLE_UTC = False\n")
    (backend.parent / ".env").write_text("CELERY_ENABLE_UTC = True\nCELERY_TIMEZONE = 'Asia/Kolkata'\n")
    given = {"CELERY_BROKER_URL": "redis://given/0"}
    done = manage("shell", "--verbosity", "0", "-c", SHOW, backend=backend, **given)
    assert (done.stdout, done.stderr) == ("redis://given/0 redis://written/1 False Asia/Kolkata\n", "")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("CELERY_BROKER_URL 'redis://:secret@localhost'", ".env, line 2, must be of the form NAME=value"),
        ("CELERY_BROKER_URL = 'redis://:secret@localhost", ".env, line 2, must be of the form NAME=value"),
        ("DEBUG = maybe", "DEBUG must be true or false"),
        ("CELERY_TIMEZONE = Asia/Kolkatta", "CELERY_TIMEZONE must be a timezone like UTC: 'Asia/Kolkatta'"),
        ("CELERY_TIMEZONE = Asia", "CELERY_TIMEZONE must be a timezone like UTC: 'Asia'"),
        ("CELERY_TIMEZONE = ../UTC", "CELERY_TIMEZONE must be a timezone like UTC: '../UTC'"),
    ],
)
def test_a_line_of_env_that_nobody_understands_is_one_line(line: str, says: str, backend: Path) -> None:
    (backend / ".env").write_text(f"# ours\n{line}\n")
    done = manage("check", backend=backend)
    assert done.returncode == 2
    [error] = done.stderr.splitlines()
    assert says in error
    assert "secret" not in error


# --- manage.py sync_licenses ------------------------------------------------------------------------------------------


def test_every_documented_option_of_sync_licenses_is_one() -> None:
    License.objects.create(license_number="0311007745", license_date="2026-01-01")
    lines = re.findall(r"^python manage\.py (sync_licenses[^#\n]*)", PAGE, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        call_command(*shlex.split(line))


def test_the_exit_status_of_sync_licenses(license: License) -> None:
    done = manage("sync_licenses")
    assert (done.returncode, done.stderr) == (0, "")
    done = manage("sync_licenses", "--license", "4711")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No license has the number '0000004711'." in done.stderr
    done = manage("sync_licenses", "--batch-size", "0")
    assert done.returncode == 2
    with psycopg.connect(os.environ["DATABASE_URL"]) as holder:
        holder.execute("LOCK TABLE ledger_billofentryline")
        done = manage("sync_licenses", PGOPTIONS="-c lock_timeout=200ms")
    assert done.returncode == 1
    assert "1 chunks of the run failed" in done.stderr


def test_no_broker_is_needed_by_hand(license: License) -> None:
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    ExportItem.objects.create(license=other, cif_fc=2000)
    hints.flush()
    done = manage("sync_licenses", "--batch-size", "1", CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0, done.stderr
    assert "2 licenses checked" in done.stdout

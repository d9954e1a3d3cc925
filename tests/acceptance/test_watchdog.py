"""A worker that stays up and does nothing ends by itself; one that has nothing to do stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from django_setup import CHECKOUT
from ledger import hints
from ledger.keys import Keys
from ledger.tasks import recompute
from license.models import ExportItem, License
from lmanagement.celery import app
from lmanagement.watchdog import Stall
from processes import running
from servers import Servers
from tests.acceptance.conftest import WORKER, balance_of, is_idle, until
from tests.engine.sessions import gate, wait_at_the_gate

AS_DOCUMENTED = ("worker", "--loglevel=info")
"""Where the broker goes away: what a worker does when it comes back is part of the test."""

pytestmark = pytest.mark.usefixtures("database")


@contextmanager
def worker_that_stalls(folder: Path, how: str, worker: Sequence[str] = WORKER) -> Iterator[subprocess.Popen[bytes]]:
    """A worker which stalls like this on SIGUSR2, and whose watchdog has a second of patience left then."""
    command = [sys.executable, "-m", "celery", "-A", "tests.acceptance.stalled_worker", *worker, "--concurrency=2"]
    environment = {**os.environ, "STALL": how, "PYTHONPATH": str(CHECKOUT)}
    log = folder / "worker.log"
    with running(command, log, environment=environment) as process:
        until(lambda: "listens" in log.read_text(), "it is ready")
        yield process


def nothing_is_queued(servers: Servers) -> bool:
    with redis.Redis.from_url(servers.broker_url) as broker:
        return not broker.exists("recompute")


@pytest.mark.parametrize(
    "how",
    [
        "begins none",
        *(
            pytest.param(how, marks=pytest.mark.long)
            for how in (
                "does not end",
                "takes none",
                "takes none, and one look fails",
                "takes none, and a process is gone",
                "takes none, and nobody knows its processes",
                "reads no results",
            )
        ),
    ],
)
def test_a_worker_that_does_nothing_ends_with_all_of_its_processes(how: str, license: License, tmp_path: Path) -> None:
    with worker_that_stalls(tmp_path, how) as worker:
        pool = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        assert len(pool) == 2
        worker.send_signal(signal.SIGUSR2)
        if how == "does not end":
            worker.terminate()

        def is_over() -> bool:
            hints.send(Keys())
            return worker.poll() is not None

        until(is_over, "it ends")
        assert worker.returncode == 1  # which systemd takes for a failure
        until(lambda: not any(Path(f"/proc/{process}").exists() for process in pool), "its pool ends")
    log = (tmp_path / "worker.log").read_text()
    assert "it is ended" in log
    assert ("the watchdog could not look" in log) == (how == "takes none, and one look fails")


@pytest.mark.long
def test_a_watchdog_outlives_its_broker(license: License, tmp_path: Path, live_servers: Servers) -> None:
    """That is what it is for: workers stall when their broker comes back."""
    with worker_that_stalls(tmp_path, "begins none", AS_DOCUMENTED) as worker:
        until(lambda: balance_of(license) == 1000 and nothing_is_queued(live_servers), "it works")
        # one that has a message which it has not begun may end
        until(lambda: is_idle(tmp_path / "worker.log"), "it is idle")
        live_servers.redis.stop()
        time.sleep(1)  # it looks ten times
        live_servers.redis.start()
        ExportItem.objects.create(license=license, cif_fc=500)

        def works() -> bool:
            hints.send(Keys())
            return balance_of(license) == 1500

        until(works, "it is back")
        worker.send_signal(signal.SIGUSR2)

        def is_over() -> bool:
            hints.send(Keys())
            return worker.poll() is not None

        until(is_over, "it ends")
    assert "Traceback" not in (tmp_path / "worker.log").read_text().partition("watchdog")[2]
    assert "it is ended" in (tmp_path / "worker.log").read_text()


@pytest.mark.long
@pytest.mark.parametrize("is_there", [True, False], ids=["nothing to do", "no broker"])
def test_a_worker_that_can_do_nothing_stays(
    is_there: bool, license: License, tmp_path: Path, live_servers: Servers
) -> None:
    with worker_that_stalls(tmp_path, "not at all", AS_DOCUMENTED) as worker:
        hints.send(Keys())
        until(lambda: balance_of(license) == 1000 and nothing_is_queued(live_servers), "it works")
        until(lambda: is_idle(tmp_path / "worker.log"), "it is idle")
        worker.send_signal(signal.SIGUSR2)
        if not is_there:
            live_servers.redis.stop()
        time.sleep(3)  # three times its patience
        if not is_there:
            live_servers.redis.start()
        assert worker.poll() is None


@pytest.mark.long
def test_a_worker_whose_processes_are_all_at_work_stays(
    license: License, tmp_path: Path, live_servers: Servers
) -> None:
    """Though it was started with more of them."""
    with worker_that_stalls(tmp_path, "not at all") as worker:
        until(lambda: balance_of(license) == 1000 and nothing_is_queued(live_servers), "it works")
        # none that is at work is taken away
        until(lambda: "ok" in str(app.control.pool_shrink(1, reply=True, timeout=10, limit=1)), "it has one process")
        with gate("ledger_licensebalance", "true"):
            ExportItem.objects.create(license=license, cif_fc=500)
            wait_at_the_gate()
            for _ in range(4):
                hints.send(Keys())
            worker.send_signal(signal.SIGUSR2)
            time.sleep(3)  # three times its patience
            assert worker.poll() is None
        until(lambda: balance_of(license) == 1500, "it goes on")


@pytest.mark.long
def test_a_worker_that_discards_expired_messages_stays(license: License, tmp_path: Path, live_servers: Servers) -> None:
    """After a long outage there may be minutes of them, of which no process of its pool sees one."""
    with worker_that_stalls(tmp_path, "discards slowly") as worker:
        until(lambda: balance_of(license) == 1000 and nothing_is_queued(live_servers), "it works")
        worker.send_signal(signal.SIGUSR2)
        for _ in range(60):  # three times its patience
            recompute.apply_async(expires=datetime(2026, 1, 1, tzinfo=UTC))
        until(lambda: nothing_is_queued(live_servers), "it discards them")
        assert worker.poll() is None
    assert (tmp_path / "worker.log").read_text().count("Discarding revoked task") == 60


@pytest.mark.long
def test_a_worker_that_is_to_end_is_left_to_end_its_task(license: License, tmp_path: Path) -> None:
    with worker_that_stalls(tmp_path, "not at all") as worker:
        until(lambda: balance_of(license) == 1000, "it works")
        with gate("ledger_licensebalance", "true"):
            ExportItem.objects.create(license=license, cif_fc=500)
            wait_at_the_gate()
            worker.send_signal(signal.SIGUSR2)
            worker.terminate()
            time.sleep(3)  # three times its patience
            assert worker.poll() is None
        until(lambda: worker.poll() is not None, "it ends")
    assert balance_of(license) == 1500


def test_only_a_worker_that_is_idle_in_vain_at_every_look_is_stalled() -> None:
    now = [0]
    stall = Stall(clock=lambda: now[0])
    looks = [  # when, begun, idle in vain, for how long
        (0, 0, True, 0),
        (5, 0, True, 5),
        (10, 1, True, 0),
        (15, 1, True, 5),
        (20, 1, False, 0),
        (25, 1, True, 5),
        (70, 1, True, 50),
    ]
    for now[0], begun, is_idle_in_vain, seconds in looks:
        assert stall.seconds(begun=begun, is_idle_in_vain=is_idle_in_vain) == seconds

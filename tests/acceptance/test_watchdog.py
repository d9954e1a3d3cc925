"""A worker that stays up and does nothing ends by itself; one that has nothing to do stays."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from django_setup import CHECKOUT
from ledger import hints
from ledger.keys import Keys
from license.models import License
from lmanagement.watchdog import Stall
from processes import running
from servers import Servers
from tests.acceptance.conftest import balance_of, until

pytestmark = pytest.mark.usefixtures("database")


@contextmanager
def worker_that_stalls(folder: Path, how: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with a watchdog of little patience, which stalls like this once it is ready."""
    command = [sys.executable, "-m", "celery", "-A", "tests.acceptance.stalled_worker", "worker", "--concurrency=2"]
    environment = {**os.environ, "STALL": how, "PYTHONPATH": str(CHECKOUT)}
    log = folder / "worker.log"
    with running([*command, "--loglevel=info"], log, environment=environment) as process:
        until(lambda: "stalls: " in log.read_text(), "it is ready")
        yield process


@pytest.mark.parametrize("how", ["begins none", "takes none"])
def test_a_worker_that_does_nothing_ends_with_all_of_its_processes(how: str, license: License, tmp_path: Path) -> None:
    with worker_that_stalls(tmp_path, how) as worker:
        pool = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        assert len(pool) == 2
        hints.send(Keys())
        until(lambda: worker.poll() is not None, "it ends")
        assert worker.returncode == 1  # which systemd takes for a failure
        until(lambda: not any(Path(f"/proc/{process}").exists() for process in pool), "its pool ends")
    assert "it ends, to be started again" in (tmp_path / "worker.log").read_text()
    assert balance_of(license) is None


@pytest.mark.parametrize("is_there", [True, False], ids=["nothing to do", "no broker"])
def test_a_worker_that_can_do_nothing_stays(
    is_there: bool, license: License, tmp_path: Path, live_servers: Servers
) -> None:
    with worker_that_stalls(tmp_path, "not at all") as worker:
        hints.send(Keys())
        until(lambda: balance_of(license) == 1000, "it works")
        if not is_there:
            live_servers.redis.stop()
        time.sleep(3)  # three times its patience
        if not is_there:
            live_servers.redis.start()
        assert worker.poll() is None


def test_only_a_worker_that_could_begin_something_at_every_look_is_stalled() -> None:
    now = [0]
    stall = Stall(clock=lambda: now[0])
    looks = [  # when, begun, could begin, for how long it has been stalled
        (0, 0, True, 0),
        (5, 0, True, 5),
        (10, 1, True, 0),
        (15, 1, True, 5),
        (20, 1, False, 0),
        (25, 1, True, 5),
        (70, 1, True, 50),
    ]
    for now[0], begun, could_begin, seconds in looks:
        assert stall.seconds(begun=begun, could_begin=could_begin) == seconds

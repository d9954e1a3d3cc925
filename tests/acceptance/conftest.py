"""What tests of real processes share: a worker, a license, commands, and patience."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import redis

from django_setup import BACKEND
from ledger.models import LicenseBalance, LicenseChange
from license.models import ExportItem, ImportItem, License
from processes import celery
from servers import Servers
from tests.roles import url_of

PATIENCE_SECONDS = 60
WORKER = ("worker", "--without-mingle", "--loglevel=info")
"""One that does not wait a second for other workers, of which there are none, before it is ready."""


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does. How long it takes is not what is tested."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} seconds: {what}"
        time.sleep(0.01)


def nothing_is_pending() -> bool:
    return not LicenseChange.objects.exists()


def balance_of(license: License) -> object:
    return LicenseBalance.objects.filter(pk=license.pk).values_list("balance_cif", flat=True).first()


def is_idle(log: Path) -> bool:
    """Whether this worker has told of every task that it received how it ended."""
    text = log.read_text()
    return text.count("] received") == text.count("] succeeded")


def manage(*arguments: str, backend: Path = BACKEND, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python manage.py …`, from backend/."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=backend,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


@pytest.fixture(autouse=True)
def as_worker(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started here logs in as an installation's worker does, and not as one who may do everything."""
    monkeypatch.setenv("DATABASE_URL", url_of("license_worker"))


@pytest.fixture(autouse=True)
def no_messages(live_servers: Servers) -> None:
    """What another test has left for a worker to do is not done in this one."""
    with redis.Redis.from_url(live_servers.broker_url) as broker:
        broker.delete("recompute", "reconcile", "webhooks")


@pytest.fixture
def worker(tmp_path: Path) -> Generator[subprocess.Popen[bytes]]:
    """A worker without beat: it knows only what it is told."""
    with celery(*WORKER, "--concurrency=2", log="worker.log", folder=tmp_path) as process:
        until(lambda: "ready." in (tmp_path / "worker.log").read_text(), "the worker is ready")
        yield process


@pytest.fixture
def license(database: None) -> License:
    license = License.objects.create(license_number="0310000001", license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc=1000)
    ImportItem.objects.create(license=license, serial_number=1, quantity=100)
    return license

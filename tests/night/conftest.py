"""A world of its own for tests that live through midnights: servers and processes that share one clock."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from django_setup import BACKEND
from processes import celery
from servers import temporary_servers
from tests.conftest import EMPTY_TABLES
from tests.night.clock import MovedClock

PATIENCE_SECONDS = 60


class World:
    """A PostgreSQL, a Redis, and whatever process is started here; our own clock, and the session's servers, are left
    alone."""

    def __init__(self, clock: MovedClock, connection: psycopg.Connection[Any], environment: dict[str, str]) -> None:
        self.clock = clock
        self.environment = environment
        self._connection = connection

    def sql(self, statement: str, *parameters: Any) -> list[Any]:
        """Run a statement as any tool would. Its rows, if it has any."""
        cursor = self._connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def python(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A Python process in backend/; it reads what we write to it, and we what it prints."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=BACKEND,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def manage(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """What `manage.py` printed; it ended with this status."""
        with self.python("manage.py", *arguments, **environment) as process:
            try:
                output, _ = process.communicate(timeout=PATIENCE_SECONDS)
            finally:
                process.kill()
        assert process.returncode == status, output
        return output

    def worker_and_beat(self, folder: Path, **environment: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Worker and beat as in development; their log is `worker.log` of the folder."""
        return celery(
            "worker",
            "--beat",
            "--without-mingle",  # nobody is there to wait for
            "--loglevel=info",
            "--concurrency=2",
            log="worker.log",
            folder=folder,
            environment={**self.environment, **environment},
        )

    def add_license(self, number: str, expiry: date | None) -> int:
        """A license of 1000.00 with an item; its id."""
        [[license_id]] = self.sql(
            "INSERT INTO license_license (license_number, license_date, license_expiry_date) "
            "VALUES (%s, '2025-01-01', %s) RETURNING id",
            number,
            expiry,
        )
        self.sql("INSERT INTO license_exportitem (license_id, cif_fc) VALUES (%s, 1000)", license_id)
        self.sql("INSERT INTO license_importitem (license_id, serial_number, quantity) VALUES (%s, 1, 100)", license_id)
        return int(license_id)

    def expired(self) -> list[str]:
        """The numbers of the licenses whose stored flag says that they are expired."""
        return [
            number
            for (number,) in self.sql(
                "SELECT license_number FROM ledger_licensebalance JOIN license_license AS license "
                "ON license.id = license_id WHERE is_expired ORDER BY license_number"
            )
        ]


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does. How long it takes, by our own clock, is not what is tested."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} seconds: {what}"
        time.sleep(0.02)


def utc(day: date, of_day: str) -> datetime:
    """A moment by the clock of UTC. India's midnight is at 18:30."""
    return datetime.combine(day, time_of_day.fromisoformat(of_day), UTC)


@pytest.fixture(scope="package")
def moved_servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    clock = MovedClock(tmp_path_factory.mktemp("clock"))
    if why := clock.why_not():
        pytest.skip(why)
    clock.put(datetime(2026, 11, 1, tzinfo=UTC))
    with (
        temporary_servers(environment=clock.environment_of_servers) as live,
        psycopg.connect(live.database_url, autocommit=True) as connection,
    ):
        environment = {
            **clock.environment,
            "DATABASE_URL": live.database_url,
            "CELERY_BROKER_URL": live.broker_url,
            "CELERY_RESULT_BACKEND": live.broker_url,
            "DJANGO_SETTINGS_MODULE": "lmanagement.settings",
        }
        world = World(clock, connection, environment)
        world.manage("migrate", "--verbosity=0")
        yield world


@pytest.fixture
def world(moved_servers: World) -> World:
    """Its tables and queues are empty, and no process of ours runs."""
    moved_servers.sql(EMPTY_TABLES)
    with redis.Redis.from_url(moved_servers.environment["CELERY_BROKER_URL"]) as broker:
        broker.flushall()
    return moved_servers

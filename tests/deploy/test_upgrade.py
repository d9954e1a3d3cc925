"""An upgrade while people write: docs/upgrade.md's order, with old and new workers side by side.

The new version is a copy of this one with another trigger on facts, as `makemigrations` makes its migration, and
another rule. Writers look, in the transaction of each write, whether it was captured.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from django_setup import BACKEND
from processes import running
from servers import Servers
from tests.acceptance.conftest import until
from tests.conftest import sql
from tests.roles import make_roles, url_of

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.long, pytest.mark.timeout(300)]

LICENSES = 20
FACTS = f"""
    INSERT INTO license_license (license_number, license_date)
        SELECT 'L' || n, '2026-01-01' FROM generate_series(1, {LICENSES}) n;
    INSERT INTO license_exportitem (license_id, cif_fc) SELECT id, 700 FROM license_license;
"""
WORKER = [
    sys.executable,
    "-m",
    "celery",
    "-A",
    "lmanagement",
    "worker",
    "--beat",
    "--without-mingle",
    "--loglevel=info",
]


class Writer(threading.Thread):
    """Somebody at a page, who does not stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self._is_over = url, threading.Event()
        self.writes, self.unseen = 0, 0
        self.error: psycopg.Error | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self._url) as connection:
                while not self._is_over.is_set():
                    connection.execute(
                        "UPDATE license_exportitem SET cif_fc = 400 + mod(%s, 500) WHERE license_id = %s",
                        [self.writes * 7, self.writes % LICENSES + 1],
                    )
                    seen = connection.execute(
                        "SELECT count(*) FROM ledger_licensechange WHERE transaction_id = pg_current_xact_id()"
                    ).fetchone()
                    connection.commit()
                    self.writes, self.unseen = self.writes + 1, self.unseen + (seen == (0,))
        except psycopg.Error as error:
            self.error = error

    def stop(self) -> None:
        self._is_over.set()
        self.join()
        assert self.error is None, self.error


@pytest.fixture
def new_backend(tmp_path: Path) -> Path:
    """The version after this one."""
    backend = tmp_path / "new" / "backend"
    shutil.copytree(BACKEND, backend, ignore=shutil.ignore_patterns("__pycache__", ".env"))
    for file, was, becomes in (
        ("capture_update.sql", "-- ", "-- Written anew. "),
        ("expected.sql", "2 AS rule_version", "3 AS rule_version"),
        ("expected.sql", "< 500.00 AS is_null", "< 600.00 AS is_null"),
    ):
        path = backend / "ledger" / "sql" / file
        text = path.read_text()
        assert was in text
        path.write_text(text.replace(was, becomes, 1))
    manage(backend, "makemigrations", "ledger", "--name=anew", url=url_of("license_owner"))
    assert list((backend / "ledger" / "migrations").glob("*_anew.py"))
    return backend


@pytest.fixture
def upgrading() -> Iterator[str]:
    """The database of an installation, at this version."""
    name = "upgrading"
    sql(f"CREATE DATABASE {name}")
    make_roles(name)
    manage(BACKEND, "migrate", "-v0", url=url_of("license_owner", name))
    make_roles(name)
    with psycopg.connect(url_of("license_web", name)) as connection:
        connection.execute(FACTS)
    try:
        yield name
    finally:
        sql(f"DROP DATABASE {name} WITH (FORCE)")


def manage(backend: Path, *arguments: str, url: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=backend,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def worker(backend: Path, database: str, log: Path) -> Iterator[None]:
    environment = {**os.environ, "DATABASE_URL": url_of("license_worker", database), "SWEEP_SECONDS": "0.3"}
    command = [*WORKER, f"--schedule={log}.schedule", "--concurrency=1"]
    with running(command, log, backend=backend, environment=environment):
        until(lambda: "ready." in log.read_text(), "the worker is ready")
        yield


def test_old_and_new_side_by_side_while_people_write(
    upgrading: str, new_backend: Path, tmp_path: Path, live_servers: Servers
) -> None:
    owner, engine = url_of("license_owner", upgrading), url_of("license_worker", upgrading)
    writer = Writer(url_of("license_web", upgrading))
    with worker(BACKEND, upgrading, tmp_path / "old.log"):
        writer.start()
        until(lambda: writer.writes > 50 or bool(writer.error), "people write")

        # somebody's transaction is open: the migration gives up, and whoever waits behind it goes on
        with psycopg.connect(url_of("license_web", upgrading)) as holder:
            holder.execute("SELECT FROM license_exportitem LIMIT 1")
            said = manage(new_backend, "migrate", "-v0", url=owner, status=2)
            assert said.startswith("Somebody else holds a lock on what is needed; try again.")
            written = writer.writes
            until(lambda: writer.writes > written + 50 or bool(writer.error), "people write on")

        manage(new_backend, "migrate", "-v0", url=owner)
        assert make_roles(upgrading) == []
        with worker(new_backend, upgrading, tmp_path / "new.log"):
            written = writer.writes
            until(lambda: writer.writes > written + 300 or bool(writer.error), "people write beside both")
    writer.stop()
    assert writer.unseen == 0
    with worker(new_backend, upgrading, tmp_path / "newer.log"):
        pass

    manage(new_backend, "drain_changes", url=engine)
    # what the old rules have written last is told, and put right
    manage(new_backend, "sync_licenses", url=engine)
    manage(new_backend, "audit_drift", url=engine)
    with psycopg.connect(engine) as connection:
        assert connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE is_null = (balance_cif < 600)), min(rule_version)"
            " FROM ledger_licensebalance"
        ).fetchone() == (LICENSES, LICENSES, 3)  # fmt: skip

    # and back again: the old code works on the new schema, and its rules are put back
    assert "replaced. Every license is suspect" in manage(BACKEND, "audit_drift", url=engine, status=1)
    manage(BACKEND, "pgtrigger", "install", url=owner)
    said = manage(BACKEND, "audit_drift", url=engine, status=1)
    assert "suspect" not in said
    assert [line.split()[1:] for line in said.splitlines() if "rule_version" in line] == (
        [["rule_version", "3", "2", "unknown"]] * LICENSES
    )
    manage(BACKEND, "sync_licenses", url=engine)
    manage(BACKEND, "audit_drift", url=engine)

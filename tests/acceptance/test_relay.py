"""The relay as a process, beside real workers, a broker that goes away and a database that restarts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.db import connection, transaction

from ledger.engine import drain
from ledger.models import BillOfEntry, BillOfEntryLine
from license.models import License
from processes import running
from servers import Servers
from tests.acceptance.conftest import balance_of, nothing_is_pending, until
from tests.conftest import assert_balances_follow_facts, one
from tests.engine.sessions import make_licenses

pytestmark = pytest.mark.usefixtures("database")

LICENSES = 3_000
RELAYS = """
    SELECT count(DISTINCT pid) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = (x'4C630000'::bigint)::oid AND objid = 2
"""


@contextmanager
def relay(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py relay`, up."""
    before = one(RELAYS)
    log = folder / f"relay{before}.log"
    with running([sys.executable, "manage.py", "relay", *options], log) as process:
        until(lambda: one(RELAYS) == before + 1, "the relay is up")
        yield process


def write(cif_fc: int) -> None:
    """A write that no signal announces."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
        other.execute("UPDATE license_exportitem SET cif_fc = %s", [cif_fc])


@pytest.mark.parametrize("options", [[], pytest.param(["--poll"], marks=pytest.mark.long)])
def test_raw_sql_is_followed_without_beat(
    worker: subprocess.Popen[bytes], license: License, tmp_path: Path, options: list[str]
) -> None:
    until(nothing_is_pending, "the worker has followed what signals told it")
    with relay(tmp_path, *options):
        for cif_fc in (1, 2, 3):
            write(cif_fc)
            until(lambda cif_fc=cif_fc: balance_of(license) == cif_fc, "a raw write")  # type: ignore[misc]
    assert_balances_follow_facts()


def test_a_bulk_write_over_many_licenses_is_a_few_messages_and_batches(
    worker: subprocess.Popen[bytes], database: None, tmp_path: Path
) -> None:
    make_licenses(LICENSES)
    drain()
    with relay(tmp_path):
        before = one("SELECT max(id) FROM ledger_balancehistory")
        write(7)  # one statement
        until(nothing_is_pending, "all of it is followed")
    messages = (tmp_path / "worker.log").read_text().count("ledger.tasks.recompute")
    assert 0 < messages < 50  # a few lines of the log for each
    # a license that two batches got at was computed twice, but written once
    assert one("SELECT count(*) FROM ledger_balancehistory WHERE id > %s", before) == LICENSES
    assert_balances_follow_facts()


def test_a_burst_of_saves_in_a_transaction_is_one_recompute(worker: subprocess.Popen[bytes], license: License) -> None:
    until(nothing_is_pending, "the license is there")
    before = one("SELECT max(id) FROM ledger_balancehistory")
    item = license.import_items.get()
    with transaction.atomic():
        for number in range(100):
            bill = BillOfEntry.objects.create(number=str(number))
            BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, cif_fc=1)
    until(lambda: balance_of(license) == 900, "all of them are followed")
    until(nothing_is_pending, "and nothing is left")
    assert one("SELECT count(*) FROM ledger_balancehistory WHERE id > %s", before) == 1


def test_everything_is_followed_without_broker_and_worker(
    license: License, tmp_path: Path, live_servers: Servers
) -> None:
    live_servers.redis.stop()
    try:
        with relay(tmp_path):
            until(lambda: balance_of(license) == 1000, "what was there before it")
            for cif_fc in (1, 2, 3):
                write(cif_fc)
                until(lambda cif_fc=cif_fc: balance_of(license) == cif_fc, "a raw write")  # type: ignore[misc]
    finally:
        live_servers.redis.start()
    assert_balances_follow_facts()


@pytest.mark.parametrize("stop", ["restart", "kill"])
def test_it_is_up_again_after_the_database_was_away(
    license: License, tmp_path: Path, live_servers: Servers, stop: str
) -> None:
    drain()
    with relay(tmp_path):
        connection.close()
        if stop == "kill":
            live_servers.postgres.kill()
        else:
            live_servers.postgres.stop()
        live_servers.postgres.start()
        write(5)
        until(lambda: balance_of(license) == 5, "what was written before it came back")
        until(lambda: one(RELAYS) == 1, "the relay is up again")
        write(6)
        until(lambda: balance_of(license) == 6, "and after it")
    assert "the relay starts again" in (tmp_path / "relay0.log").read_text()


def test_two_of_them_follow_everything(license: License, tmp_path: Path, live_servers: Servers) -> None:
    drain()
    live_servers.redis.stop()
    try:
        with relay(tmp_path) as first, relay(tmp_path):
            write(5)
            until(lambda: balance_of(license) == 5, "a raw write")
            first.send_signal(signal.SIGKILL)
            first.wait()
            until(lambda: one(RELAYS) == 1, "its locks are gone with it")
            write(6)
            until(lambda: balance_of(license) == 6, "a raw write, with one relay left")
    finally:
        live_servers.redis.start()
    assert_balances_follow_facts()


def test_it_ends_when_it_is_told_to(license: License, tmp_path: Path) -> None:
    with relay(tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    until(lambda: one(RELAYS) == 0, "its locks are gone")
    assert "Traceback" not in (tmp_path / "relay0.log").read_text()

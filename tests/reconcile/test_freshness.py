"""Freshness as a number, and the quarantine: what people and monitoring see, and the exit status."""

import json
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ledger import engine
from ledger.engine import drain
from ledger.models import Quarantine
from ledger.relay import Relay
from ledger.sql import load
from license.models import ExportItem, License
from tests.acceptance.conftest import until
from tests.conftest import sql
from tests.engine.sessions import make_licenses, session

pytestmark = pytest.mark.usefixtures("database")


def freshness(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """The exit status, and what it says."""
    capsys.readouterr()
    status = 0
    try:
        call_command("freshness", "--format", "json", *arguments)
    except SystemExit as stop:
        status = int(str(stop.code))
    return status, json.loads(capsys.readouterr().out)


def test_an_empty_database_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert freshness(capsys=capsys) == (
        0,
        {
            "pending": 0,
            "oldest_age_ms": None,
            "recomputes_last_hour": 0,
            "latency_ms": {"median": None, "p90": None, "p99": None},
            "quarantined": 0,
            "relays": 0,
            "triggers": [],
            "complaints": [],
        },
    )


def test_a_change_may_be_pending_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    make_licenses(2)
    sql("UPDATE ledger_licensechange SET created_at = clock_timestamp() - interval '90 seconds' WHERE id = 1")
    status, said = freshness(capsys=capsys)
    assert status == 1
    assert said["pending"] > 1
    assert 90_000 <= said["oldest_age_ms"] < 150_000
    assert re.match(r"The oldest change has been pending for 0:01:\d\d: is a worker up\?", said["complaints"][0])
    status, said = freshness("--max-age", "600", capsys=capsys)
    assert (status, said["complaints"]) == (0, [])


@pytest.mark.parametrize("age", ["0", "x", "1.5", "9" * 20])
def test_a_wrong_age_is_refused(age: str) -> None:
    with pytest.raises(CommandError, match="is not a number of seconds"):
        call_command("freshness", "--max-age", age)


def test_latencies_are_those_of_the_last_hour_and_of_what_a_write_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    sql("SET ledger.engine = 'on'")
    try:
        sql("""
            INSERT INTO ledger_balancehistory (license_id, changed_at, sources, first_change_at)
            SELECT n, now(), '{license_exportitem}'::text[], now() - interval '10 ms' * n FROM generate_series(1, 100) n
            UNION ALL SELECT 0, now() - interval '2 hours', '{license_exportitem}', now() - interval '3 hours'
            UNION ALL SELECT 0, now(), '{}', NULL
            UNION ALL SELECT 0, now(), '{ledger_quarantine}', now() - interval '1 day'
        """)
    finally:
        connection.close()
    status, said = freshness(capsys=capsys)
    assert (status, said["recomputes_last_hour"]) == (0, 100)
    assert said["latency_ms"] == {"median": 500, "p90": 900, "p99": 990}


def test_a_relay_that_is_up_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    sql("SELECT pg_advisory_lock(2), pg_advisory_lock((x'4C63'::bigint << 48) | 4)")  # of somebody else
    assert freshness(capsys=capsys)[1]["relays"] == 0
    Relay(hand_over=lambda: True).arrive()
    assert freshness(capsys=capsys)[1]["relays"] == 1
    connection.close()
    until(lambda: freshness(capsys=capsys)[1]["relays"] == 0, "PostgreSQL has ended its session")


def test_a_trigger_at_fault_is_a_complaint(capsys: pytest.CaptureFixture[str]) -> None:
    [[name]] = sql(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'license_license'::regclass AND tgname LIKE '%capture_insert%'"
    )
    sql(f"ALTER TABLE license_license DISABLE TRIGGER {name}")
    try:
        status, said = freshness(capsys=capsys)
    finally:
        sql(f"ALTER TABLE license_license ENABLE ALWAYS TRIGGER {name}")
    assert status == 1
    assert [(fault["table"], fault["state"]) for fault in said["triggers"]] == [("license_license", "disabled")]
    assert "Every license is suspect." in said["complaints"][0]


@pytest.fixture
def poison(database: None) -> License:
    """License 2 of three sums to more than its column holds."""
    make_licenses(3)
    ExportItem.objects.filter(license_id=2).update(cif_fc="9999999999999.99")
    ExportItem.objects.create(license_id=2, cif_fc=1)
    drain()
    return License.objects.get(pk=2)


def quarantine(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    capsys.readouterr()
    status: object = 0
    try:
        call_command("quarantine", *arguments)
    except SystemExit as stop:
        status = stop.code
    return status, capsys.readouterr().out


def test_a_quarantined_license_is_a_complaint_and_is_listed(
    poison: License, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = freshness(capsys=capsys)
    assert (status, said["quarantined"]) == (1, 1)
    assert said["complaints"] == ["1 license is in quarantine: its page, and manage.py quarantine, say why."]
    status, out = quarantine(capsys=capsys)
    assert status == 1
    assert re.fullmatch(r"2: since .* IST, tries: 1, next .* IST: numeric field overflow\n", out)


def test_it_is_tried_again_on_demand(poison: License, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = quarantine("--retry", capsys=capsys)
    assert (status, out.splitlines()[0]) == (1, "Tried 1 licenses again, 0 are recomputed.")
    assert Quarantine.objects.get().attempts == 2
    ExportItem.objects.filter(license_id=2, cif_fc=1).delete()
    assert quarantine("--retry", capsys=capsys) == (0, "Tried 1 licenses again, 1 are recomputed.\n")
    assert quarantine(capsys=capsys) == (0, "No license is in quarantine.\n")
    assert freshness(capsys=capsys)[0] == 0


def test_one_license_of_the_quarantine(poison: License, capsys: pytest.CaptureFixture[str]) -> None:
    License.objects.filter(pk=2).update(license_number="0000000002")
    ExportItem.objects.filter(license_id=2, cif_fc=1).delete()
    assert quarantine("--license", "2", "--retry", capsys=capsys)[0] == 0
    with pytest.raises(CommandError, match="No license with the number '0000000002' is in quarantine"):
        call_command("quarantine", "--license", "2")


def test_a_license_that_could_not_be_tried_is_named(
    poison: License, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ATTEMPTS", 1)
    with session() as other:
        other.execute(load("lock_licenses"), {"license_ids": [2]})
        status, out = quarantine("--retry", capsys=capsys)
    tried, busy, _ = out.splitlines()
    assert (status, tried) == (1, "Tried 0 licenses again, 0 are recomputed.")
    assert busy == "Not tried, since somebody holds their balances: 2"
    assert Quarantine.objects.get().attempts == 1


def test_a_deleted_license_of_the_quarantine(poison: License, capsys: pytest.CaptureFixture[str]) -> None:
    poison.delete()  # and nobody has worked that off
    _, out = quarantine(capsys=capsys)
    name = out.partition(":")[0]
    assert name == "license id 2"
    assert quarantine("--license", name, "--retry", capsys=capsys) == (
        0,
        "Tried 1 licenses again, 1 are recomputed.\n",
    )
    with pytest.raises(CommandError, match=f"No '{name}' is in quarantine"):
        call_command("quarantine", "--license", name)


def test_as_people_read_it(poison: License, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("freshness")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0 changes pending"
    assert re.fullmatch(
        r"2 recomputes in the last hour: median \d+ m?s after the write, 90 % within \d+ m?s, 99 % within \d+ m?s",
        lines[1],
    )
    assert lines[2:] == [
        "1 licenses in quarantine",
        "0 relays up: raw SQL and bulk writes wait for the sweep",
        "0 triggers at fault",
        "! 1 license is in quarantine: its page, and manage.py quarantine, say why.",
    ]

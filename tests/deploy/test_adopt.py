"""`manage.py adopt`: a database with facts of another system, and numbers that it kept beside them."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from ledger.engine import Outcome
from reconcile import adopting
from reconcile.management.commands import adopt as command
from tests.acceptance.conftest import manage
from tests.conftest import assert_balances_follow_facts, empty_tables, one, sql
from tests.roles import url_of

FACTS = """
    INSERT INTO license_company (id, iec) VALUES (1, '0000000001');
    INSERT INTO license_license (id, license_number, license_date, license_expiry_date, {columns})
        VALUES (1, '0310000001', '2026-01-01', '2040-01-01', {first}),
            (2, '0310000002', '2026-01-01', '2026-03-31', {second});
    INSERT INTO license_exportitem (license_id, cif_fc) VALUES (1, 1000), (2, 300);
    INSERT INTO license_importitem (id, license_id, serial_number, quantity, cif_fc, available_quantity)
        VALUES (1, 1, 1, 100, 700, 89.9996), (2, 1, 2, 50, 0.1, 50), (3, 2, 1, 10, 300, NULL);
    INSERT INTO ledger_billofentry (id, number) VALUES (1, '4711');
    INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc) VALUES (1, 1, 10, 400);
"""
"""Of the first license 600 is left, and all was right but for the flag; the second has expired, and is null."""


@pytest.fixture
def old_columns(database: None) -> Iterator[None]:
    """What the nightly batch of today keeps beside the facts: a float, too."""
    sql("ALTER TABLE license_license ADD balance_cif numeric(15, 2), ADD is_null boolean, ADD is_expired boolean")
    sql("ALTER TABLE license_importitem ADD available_quantity double precision")
    yield
    empty_tables()
    sql("ALTER TABLE license_license DROP balance_cif, DROP is_null, DROP is_expired")
    sql("ALTER TABLE license_importitem DROP available_quantity")


def load(first: str = "600, false, true", second: str = "300.00, true, true") -> None:
    """As a restore does: no trigger tells of it, and there is no balance."""
    sql("SET session_replication_role = replica")
    sql(FACTS.format(columns="balance_cif, is_null, is_expired", first=first, second=second))
    sql("SET session_replication_role = origin")
    sql("DELETE FROM ledger_licensechange")  # of triggers that fire all the same


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "differences.csv"


def rows(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(report.read_text().splitlines()))


def adopt(*options: str, status: int) -> None:
    if status == 0:
        call_command("adopt", *options)
        return
    with pytest.raises(SystemExit) as ended:
        call_command("adopt", *options)
    assert ended.value.code == status


def test_a_database_without_stored_numbers_is_told_and_built(
    database: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sql("INSERT INTO license_license (id, license_number, license_date, license_expiry_date) "
        "VALUES (1, '0310000001', '2026-01-01', '2040-01-01')")  # fmt: skip
    adopt(status=0)
    first, told, last = capsys.readouterr().out.splitlines()
    assert first == "1 licenses, 0 stored numbers and flags, 0 of them differ."
    assert told.startswith("Nothing was compared: ")
    assert last == "1 licenses were written, 1 proved: all are right."


def test_every_stored_number_that_differs_is_told_and_every_balance_built(
    old_columns: None, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load()
    adopt(f"--output={report}", status=1)
    out = capsys.readouterr().out
    assert out.startswith("2 licenses, 8 stored numbers and flags, 1 of them differ.\n")
    assert out.endswith("2 licenses were written, 2 proved: all are right.\n")
    [row] = rows(report)
    assert list(row.values()) == ["0310000001", "", "is_expired", "true", "false", "license_license"]
    assert_balances_follow_facts()
    assert sql("SELECT balance_cif, is_null FROM ledger_licensebalance ORDER BY 1") == [(300, True), (600, False)]


@pytest.mark.parametrize(
    ("stored", "differs"),
    [("600.004, false, false", []), ("600.01, false, false", ["600.01"]), ("NULL, NULL, NULL", [])],
)
def test_a_number_is_the_same_where_it_rounds_to_the_same(
    stored: str, differs: list[str], old_columns: None, report: Path
) -> None:
    sql("ALTER TABLE license_license ALTER balance_cif TYPE double precision")
    load(first=stored)
    adopt(f"--output={report}", status=1 if differs else 0)
    assert [row["stored"] for row in rows(report)] == differs


def test_what_is_stored_as_text_is_compared_as_the_number_that_it_is(old_columns: None, report: Path) -> None:
    sql("ALTER TABLE license_license ALTER balance_cif TYPE text")
    load(first="'600.0', false, false", second="'=n/a', true, true")
    sql("UPDATE license_importitem SET available_quantity = 49.999 WHERE id = 2")
    adopt(f"--output={report}", status=1)
    assert [row["stored"] for row in rows(report)] == ["49.999", "'=n/a"]


@pytest.mark.parametrize("kind", ["smallint USING is_null::int", "char(1) USING left(is_null::text, 1)"])
def test_a_flag_is_a_flag_in_numbers_and_words_too(kind: str, old_columns: None, report: Path) -> None:
    load()
    sql(f"ALTER TABLE license_license ALTER is_null TYPE {kind}")
    sql("ALTER TABLE license_license ALTER is_expired TYPE text USING CASE WHEN is_expired THEN 'Yes' ELSE 'no' END")
    adopt(f"--output={report}", status=1)
    assert [(row["field"], row["stored"]) for row in rows(report)] == [("is_expired", "Yes")]
    sql("UPDATE license_license SET is_expired = CASE id WHEN 1 THEN '' ELSE 'N' END")
    adopt(f"--output={report}", status=1)
    assert [(row["license_number"], row["stored"]) for row in rows(report)] == [("0310000001", ""), ("0310000002", "N")]


def test_balances_of_ours_that_came_along_are_compared_too(old_columns: None, report: Path) -> None:
    load(first="600, false, false")
    adopt(status=0)
    sql("SET ledger.engine = 'on'; UPDATE ledger_importitembalance SET available_value = 1 WHERE import_item_id = 1")
    # one that an item has left behind is not of it any more
    sql(
        "INSERT INTO ledger_importitembalance SELECT (jsonb_populate_record(t, '{\"license_id\": 2}')).*"
        " FROM ledger_importitembalance AS t WHERE import_item_id = 1"
    )
    sql("RESET ledger.engine")
    adopt(f"--output={report}", "--dry-run", status=1)
    assert [tuple(row.values()) for row in rows(report)] == [
        ("0310000001", "1", "available_value", "1.00", "300.00", "ledger_importitembalance")
    ]
    adopt(status=1)
    adopt(status=0)
    assert_balances_follow_facts()


def test_a_dry_run_changes_nothing(old_columns: None, capsys: pytest.CaptureFixture[str]) -> None:
    load()
    adopt("--dry-run", status=1)
    assert capsys.readouterr().out.endswith("Nothing was changed.\n")
    assert one("SELECT count(*) FROM ledger_licensebalance") == 0


def test_pending_changes_are_worked_off_and_what_is_left_over_is_removed(old_columns: None) -> None:
    sql(FACTS.format(columns="balance_cif, is_null, is_expired", first="600, false, false", second="300, true, true"))
    assert one("SELECT count(*) FROM ledger_licensechange") > 0
    adopt(status=0)
    assert_balances_follow_facts()
    for table in ("license_importitem", "license_exportitem"):
        sql(f"DELETE FROM {table} WHERE license_id = 2")
    sql("DELETE FROM license_license WHERE id = 2; DELETE FROM ledger_licensechange")
    adopt(status=0)
    assert one("SELECT count(*) FROM ledger_licensebalance") == 1


def test_without_its_triggers_nothing_is_adopted(old_columns: None, report: Path) -> None:
    load()
    trigger = one("SELECT tgname FROM pg_trigger WHERE tgname ~ '^pgtrigger_capture_update_' LIMIT 1")
    table = one("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = %s", trigger)
    sql(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    try:
        with pytest.raises(CommandError, match=f"{trigger} on {table}: disabled") as refused:
            call_command("adopt", f"--output={report}")
    finally:
        sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    assert refused.value.returncode == 2
    assert not report.exists()
    assert one("SELECT count(*) FROM ledger_licensebalance") == 0


def test_a_report_that_cannot_be_written_stops_it_before_it_builds(old_columns: None, tmp_path: Path) -> None:
    load()
    with pytest.raises(CommandError, match=r"cannot be written: Is a directory\. Nothing was done") as refused:
        call_command("adopt", f"--output={tmp_path}")
    assert refused.value.returncode == 2
    assert one("SELECT count(*) FROM ledger_licensebalance") == 0


@pytest.mark.parametrize("role", ["license_web", "license_auditor"])
def test_a_role_that_may_not_build_is_told_so_before_all_else(role: str, old_columns: None, report: Path) -> None:
    load()
    url = url_of(role)
    done = manage("adopt", f"--output={report}", DATABASE_URL=url)
    assert (done.returncode, done.stdout, report.exists()) == (2, "", False)
    assert "may not write balances" in done.stderr
    assert manage("adopt", "--dry-run", f"--output={report}", DATABASE_URL=url).returncode == 1
    assert len(rows(report)) == 1


def test_broken_off_it_goes_on_with_what_is_left(
    old_columns: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load()
    monkeypatch.setattr(adopting, "LICENSES_AT_ONCE", 1)
    work = adopting.recompute

    def broken_off(license_ids: list[int]) -> Outcome:
        if 2 in license_ids:
            raise KeyboardInterrupt
        return work(license_ids)

    with monkeypatch.context() as patch:
        patch.setattr(adopting, "recompute", broken_off)
        with pytest.raises(KeyboardInterrupt):
            call_command("adopt")
    assert one("SELECT license_id FROM ledger_licensebalance") == 1
    adopt(status=1)
    assert capsys.readouterr().out.endswith("1 licenses were written, 2 proved: all are right.\n")
    assert_balances_follow_facts()


def test_more_than_is_shown_is_in_the_report(
    old_columns: None, report: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SHOWN", 2)
    monkeypatch.setattr(adopting, "LICENSES_AT_ONCE", 1)
    load(first="1, true, true", second="2, true, true")
    adopt("--dry-run", f"--output={report}", status=1)
    assert capsys.readouterr().out.endswith(f"… and 2 more: {report} has all.\nNothing was changed.\n")
    assert len(rows(report)) == 4


def test_a_license_that_cannot_be_computed_is_named(old_columns: None) -> None:
    load()
    sql("UPDATE license_exportitem SET cif_fc = 9999999999999.99 WHERE license_id = 2")
    sql("INSERT INTO license_exportitem (license_id, cif_fc) VALUES (2, 9999999999999.99)")
    with pytest.raises(CommandError, match=r"^0310000002 not as the facts say: ") as refused:
        call_command("adopt")
    assert refused.value.returncode == 2
    assert one("SELECT balance_cif FROM ledger_licensebalance") == 600

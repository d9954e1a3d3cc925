"""Who changed what, and balances as of a date, for programs; and the commands that write the same as files."""

import csv
import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper

from desk import files_of_commands
from desk.as_of import COLUMNS
from ledger.acting import acting
from ledger.as_of import trail_began
from ledger.engine import drain
from ledger.models import BillOfEntry, BillOfEntryLine
from license.clock import INDIA, business_date
from license.models import ImportItem
from tests.api.conftest import As, Program
from tests.conftest import one

NUMBER = "0310000001"


@pytest.fixture
def auditor(desk_of_programs: None, as_one_of: As) -> Program:
    """After asha has entered a debit of 31 January."""
    with acting("asha"):
        bill = BillOfEntry.objects.create(number="4711", date="2026-01-31")
        item = ImportItem.objects.get(license__license_number=NUMBER, serial_number=2)
        BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, quantity=1, cif_fc="1234.50")
    drain()
    return as_one_of("auditor")


def test_a_license_as_of_a_date(auditor: Program) -> None:
    said = auditor.get(f"/licenses/{NUMBER}/as-of", until="2026-01-30").json()
    assert (said["balance"]["balance_cif"], said["today"]) == ("10000.00", "2026-01-30")
    said = auditor.get(f"/licenses/{NUMBER}/as-of", until="2026-01-31").json()
    assert (said["balance"]["balance_cif"], said["balance"]["debited_cif"]) == ("8765.50", "1234.50")
    assert [line["kind"] for line in said["statement"]] == ["credit", "debit"]
    known = auditor.get(f"/licenses/{NUMBER}/as-of", known=f"{business_date()}").json()
    assert known["stored_balance_cif"] == known["balance"]["balance_cif"] == "8665.50"
    assert auditor.get(f"/licenses/{NUMBER}/as-of", until="2025-12-31").status_code == 404
    too_early = trail_began().astimezone(INDIA).date() - timedelta(days=1)
    for known_on, why in ((too_early, "begins on"), (business_date() + timedelta(days=1), "until today")):
        refused = auditor.get(f"/licenses/{NUMBER}/as-of", known=f"{known_on}")
        assert refused.status_code == auditor.get("/as-of", known=f"{known_on}").status_code == 409
        assert why in refused.json()["detail"]


def test_all_licenses_as_of_a_date(auditor: Program) -> None:
    pages = [auditor.get("/as-of", until="2026-01-31", limit=5, offset=offset).json() for offset in (0, 5, 10, 15)]
    assert [len(page["items"]) for page in pages] == [5, 5, 2, 0]
    assert {page["count"] for page in pages} == {12}
    first = pages[0]["items"][0]
    assert (first["license_number"], first["balance"]["balance_cif"], first["shown_balance_cif"]) == (
        NUMBER, "8765.50", "8665.50",
    )  # fmt: skip


def test_the_trail(auditor: Program) -> None:
    said = auditor.get(f"/licenses/{NUMBER}/trail", limit=1).json()
    [newest] = said["items"]
    assert newest["about"] == f"debit of BE 4711 of 31 Jan 2026 on item 2 of license {NUMBER}"
    assert newest["what"] == "entered"
    assert newest["statement"]["user_name"] == "asha"
    assert {"name": "CIF FC", "before": "", "after": "1,234.50"} in newest["fields"]
    assert (newest["before"], newest["after"]["cif_fc"]) == (None, "1234.50")
    older = auditor.get(f"/licenses/{NUMBER}/trail", limit=500, older_than=said["next"]).json()
    assert (older["items"][0]["about"], older["next"]) == ("BE 4711 of 31 Jan 2026", None)
    assert auditor.get("/licenses/99/trail").status_code == 404


def test_the_trail_of_everything(auditor: Program) -> None:
    today = f"{business_date()}"
    by_asha = auditor.get("/trail", user="asha", since=today, until=today).json()
    assert [(row["operation"], row["table_name"]) for row in by_asha["items"]] == [
        ("INSERT", "ledger_billofentryline"), ("INSERT", "ledger_billofentry"),
    ]  # fmt: skip
    assert auditor.get("/trail", user="asha", kind="license_license").json() == {"items": [], "next": None}
    newest = auditor.get("/trail", limit=2).json()
    older = auditor.get("/trail", limit=2, older_than=newest["next"]).json()
    assert [row["id"] for row in newest["items"]] > [row["id"] for row in older["items"]]
    bulk = one("SELECT min(id) FROM ledger_trailstatement WHERE table_name = 'license_importitem' AND row_count = 24")
    first = auditor.get(f"/trail/{bulk}", limit=20).json()
    rest = auditor.get(f"/trail/{bulk}", limit=20, after=first["next"]).json()
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (20, 4, None)
    assert auditor.get("/trail/99999999").status_code == 404


# ── Commands ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def test_commands_write_the_same_as_files(auditor: Program, tmp_path: Path) -> None:
    there = tmp_path / "out.csv"
    call_command("balances_as_of", "--until=2026-01-31", "--output", there)
    assert [row["Balance"] for row in rows(there) if row["License"] == NUMBER] == ["8765.50"]
    call_command("trail", "--license", "310000001", "--output", there)
    assert len(rows(there)) == len(auditor.get(f"/licenses/{NUMBER}/trail", limit=500).json()["items"])
    call_command("trail", "--user=asha", "--output", there)
    assert {row["Who"] for row in rows(there)} == {"asha"}
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_file_is_whole_or_not_there_and_what_is_no_file_stays_what_it_is(database: None, tmp_path: Path) -> None:
    def half() -> Iterator[list[str]]:
        yield ["1"]
        raise KeyboardInterrupt

    there, link, pipe = tmp_path / "out.csv", tmp_path / "link.csv", tmp_path / "pipe"
    there.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        files_of_commands.write(OutputWrapper(io.StringIO()), there, COLUMNS, half())
    assert there.read_text() == "before"
    link.symlink_to(there)
    call_command("balances_as_of", "--output", link)
    assert link.is_symlink()
    assert there.read_text(encoding="utf-8-sig").startswith("License,")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    call_command("balances_as_of", "--output", pipe)
    assert pipe.is_fifo()
    assert b"License," in os.read(reader, 1000)
    os.close(reader)
    with pytest.raises(CommandError, match="cannot be written: Not a directory"):
        call_command("balances_as_of", "--output", there / "x.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "link.csv", "pipe"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["trail", "--license", "4711"], "There is no license '0000004711'"),
        (["trail", "--license", "1", "--user", "asha"], "not for both"),
        (["trail", "--since", "31/02/2026"], "--since: Enter a valid date"),
        (["balances_as_of", "--until", "31/03/2026"], "not a day like 2026-03-31"),
        (["balances_as_of", "--known", "2020-03-31"], "The trail of changes begins on"),
        (["explain_balance", NUMBER, "--until", "2020-03-31"], f"No license had the number '{NUMBER}'"),
        (["balances_as_of", "--output", "/nowhere/x.csv"], "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_written_is_said(command: list[str], words: str, database: None) -> None:
    with pytest.raises(CommandError, match=words):
        call_command(*command)

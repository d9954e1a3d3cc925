"""The audit of a year's end, from end to end: what the balances were on 31 March, what they were believed to be, who
changed what since, and what the night's report said. Everybody lives by one clock that is moved through the year."""

import csv
import io
import json
from datetime import date

import pytest

from tests.night.conftest import World, utc

NUMBER = "0310000001"
YEAR_END = "2027-03-31"

ENTERED_IN_MARCH = """
from ledger.acting import acting
from ledger.models import *
from license.models import *
from ledger.engine import drain
with acting("asha", via="POST /entry/"):
    license = License.objects.create(license_number="0310000001", license_date="2026-06-01", license_expiry_date="2027-04-15")
    ExportItem.objects.create(license=license, cif_fc=10000)
    item = ImportItem.objects.create(license=license, serial_number=1, quantity=100, description="Cashew")
    bill = BillOfEntry.objects.create(number="1", date="2027-03-05")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, quantity=10, cif_fc=1000)
    allotment = Allotment.objects.create(company=Company.objects.create(iec="0000000001"))
    AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=20, cif_fc=2000)
drain()
"""  # noqa: E501
ENTERED_IN_APRIL = """
from ledger.acting import acting
from ledger.models import *
from license.models import *
from ledger.engine import drain
with acting("meera", via="POST /entry/"):
    bill = BillOfEntry.objects.create(number="2", date="2027-03-28")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=ImportItem.objects.get(), quantity=15, cif_fc=1500)
    Allotment.objects.get().bills_of_entry.add(bill)
drain()
"""


NIGHT = """
from django.core.management import call_command
call_command("sync_licenses", stdout=open("/dev/null", "w"))
"""
DRAIN = """
from ledger.engine import drain
drain()
"""
LIVE = """
import json, sys
for line in sys.stdin:
    exec(json.loads(line))
    print("done", flush=True)
"""
"""What a process does that lives through the year: the code of each line that it reads."""


@pytest.fixture
def year(world: World) -> World:
    """Until November: a debit of March is entered in April, a figure is changed by hand in May, the license expires."""
    with world.python("manage.py", "shell", "--verbosity", "0", "-c", LIVE) as desk:

        def do(code: str) -> None:
            assert desk.stdin
            assert desk.stdout
            desk.stdin.write(f"{json.dumps(code)}\n")
            desk.stdin.flush()
            assert desk.stdout.readline() == "done\n", desk.stdout.read()

        world.clock.put(utc(date(2027, 3, 10), "06:00"))
        do(ENTERED_IN_MARCH)
        world.clock.put(utc(date(2027, 3, 31), "18:31"))  # past midnight in India
        do(NIGHT)
        world.clock.put(utc(date(2027, 4, 5), "06:00"))
        do(ENTERED_IN_APRIL)
        world.clock.put(utc(date(2027, 5, 2), "06:00"))
        world.sql("SET application_name = 'excel'")
        world.sql("UPDATE ledger_billofentryline SET cif_fc = 100 WHERE cif_fc = 1000")
        do(DRAIN)
        world.clock.put(utc(date(2027, 11, 22), "06:00"))
    return world


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def balances(world: World, *days: str) -> dict[str, str]:
    [row] = rows(world.manage("balances_as_of", *days))
    assert row["License"] == NUMBER
    return {name: row[name] for name in ("Debited", "Allotted", "Balance", "Expired", "Shown then")}


@pytest.mark.long
def test_the_audit_of_a_years_end(year: World) -> None:
    # what was believed when the books were closed, and what was on the screen
    assert balances(year, f"--known={YEAR_END}") == {
        "Debited": "1000.00", "Allotted": "2000.00", "Balance": "7000.00", "Expired": "no", "Shown then": "7000.00",
    }  # fmt: skip
    # what the documents of the year say, as they were known when the last of them had come in
    of_april = balances(year, f"--until={YEAR_END}", "--known=2027-04-05")
    assert (of_april["Debited"], of_april["Allotted"], of_april["Balance"]) == ("2500.00", "0.00", "7500.00")
    # and what they say now, after somebody has changed a figure
    now = balances(year, f"--until={YEAR_END}")
    assert (now["Debited"], now["Balance"], now["Expired"]) == ("1600.00", "8400.00", "no")
    assert balances(year)["Expired"] == "yes"
    assert "Balance: 10,000.00 - 1,000.00 - 2,000.00 = 7,000.00" in year.manage(
        "explain_balance", NUMBER, f"--known={YEAR_END}"
    )

    # who has made the difference, and when
    trail = rows(year.manage("trail", "--license", NUMBER))
    since = [row for row in trail if "Mar 2027" not in row["When"]]
    bill_2 = "BE 2 of 28 Mar 2027"
    assert [(row["When"][:11], row["Who"], row["Application"], row["About"], row["What"]) for row in since] == [
        ("02 May 2027", "", "excel", f"debit of BE 1 of 05 Mar 2027 on item 1 of license {NUMBER}", "changed"),
        ("05 Apr 2027", "meera", "manage.py shell", f"Allotment 1 used by {bill_2}", "entered"),
        ("05 Apr 2027", "meera", "manage.py shell", f"debit of {bill_2} on item 1 of license {NUMBER}", "entered"),
        ("05 Apr 2027", "meera", "manage.py shell", bill_2, "entered"),
    ]  # fmt: skip
    assert since[0]["Changes"] == "CIF FC: 1,000.00 → 100.00"
    assert "UPDATE ledger_billofentryline SET cif_fc = 100" in since[0]["SQL"]
    assert {row["Who"] for row in trail if row not in since} == {"asha"}

    # and the report of that night
    report = json.loads(year.manage("night_report", "--date=2027-04-01", "--format=json"))
    assert report["run"]["business_date"] == "2027-04-01"
    assert [row["license_number"] for row in report["findings"]["expiring"]] == [NUMBER]

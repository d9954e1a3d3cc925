"""`make demo`: the main job from end to end, told as a trader would tell it. Everything in it is real: the servers, a
Celery worker with beat, the ledgers in samples/, and the times, which are those of this run on this machine.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from django_setup import CHECKOUT, set_up_django
from processes import celery, relay

set_up_django()

from django.core.management import CommandError, call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from rich.console import Console  # noqa: E402

from ledger.models import (  # noqa: E402
    Allotment,
    AllotmentLine,
    BillOfEntry,
    BillOfEntryLine,
    ImportItemBalance,
    LicenseBalance,
    LicenseChange,
)
from license.clock import business_date  # noqa: E402
from license.formats import indian  # noqa: E402
from license.models import Company, ImportItem, License  # noqa: E402
from license.tasks import sync_all_licenses  # noqa: E402

SAMPLES = CHECKOUT / "samples"
REPORT = CHECKOUT / ".local" / "night.html"
PATIENCE_SECONDS = 60

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main() -> None:
    call_command("migrate", verbosity=0)
    worker = celery("worker", "--beat", "--loglevel=warning", "--concurrency=2", log="worker.log")
    with worker, relay("relay.log"):
        import_ledgers()
        fill_in_what_no_ledger_says()
        show_balances()
        license = the_license_of_the_story()
        save_a_bill_of_entry(license)
        write_by_raw_sql(license)
        allot_and_convert(license)
        overdraw(license)
        chapter("How far are balances behind? (manage.py freshness)")
        call_command("freshness")
    chapter("Why is it what it is? (manage.py explain_balance)")
    call_command("explain_balance", license.license_number)
    the_night(license)


def chapter(title: str) -> None:
    console.print(f"\n[bold]== {title}[/bold]")


def say(text: str) -> None:
    console.print(f"   {text}")


def import_ledgers() -> None:
    chapter("Customs' ledgers are loaded: CSV, printed text and HTML (manage.py import_icegate)")
    good = sorted(path for path in SAMPLES.iterdir() if path.name.startswith(("dfia", "advance")))
    call_command("import_icegate", *[os.path.relpath(path) for path in good])
    say("Once more: what is loaded already changes nothing.")
    call_command("import_icegate", *[os.path.relpath(path) for path in good])
    say("And a file with faults: each is named, the good licenses are loaded, the exit status says so.")
    try:
        call_command("import_icegate", os.path.relpath(SAMPLES / "broken.csv"))
    except CommandError as error:
        say(f"(exit status {error.returncode})")
    else:
        raise AssertionError("samples/broken.csv was loaded without a complaint")


def fill_in_what_no_ledger_says() -> None:
    chapter("Descriptions, norms, names and percentages, which no ledger carries (manage.py import_items)")
    call_command("import_items", os.path.relpath(SAMPLES / "item-names.csv"))
    call_command("import_items", os.path.relpath(SAMPLES / "items.csv"))
    call_command("match_items")


def show_balances() -> None:
    chapter("Balances, computed by the worker meanwhile")
    until("every change is worked off", lambda: not LicenseChange.objects.exists())
    for balance in LicenseBalance.objects.select_related("license").order_by("license__license_number"):
        flags = [name for name, on in (("null", balance.is_null), ("expired", balance.is_expired)) if on]
        over = f", overdrawn by {indian(balance.overdrawn_cif)}" if balance.overdrawn_cif else ""
        say(
            f"{balance.license.license_number}  {balance.license.currency} {indian(balance.credit_cif):>14} earned, "
            f"{indian(balance.balance_cif):>14} left{over}{'  (' + ', '.join(flags) + ')' if flags else ''}"
        )


def the_license_of_the_story() -> License:
    """Of those whose norm is known the one with most left: it has restrictions to show."""
    known = LicenseBalance.objects.filter(license__export_items__norm__isnull=False)
    return known.order_by("-balance_cif").select_related("license")[0].license


def save_a_bill_of_entry(license: License) -> None:
    chapter("A bill of entry is saved through the ORM")
    with balance_changes(license, "a signal told the worker"):
        bill = BillOfEntry.objects.create(number="9900001", date=business_date())
        line = BillOfEntryLine(bill_of_entry=bill, import_item=first_item(license), quantity=10, cif_fc=1500)
        line.save()


def write_by_raw_sql(license: License) -> None:
    chapter("The same written by raw SQL, of which no signal tells")
    with balance_changes(license, "a trigger kept the change, the relay found it"), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ledger_billofentryline SET cif_fc = cif_fc + 1000 WHERE bill_of_entry_id = "
            "(SELECT id FROM ledger_billofentry WHERE number = '9900001')"
        )


def allot_and_convert(license: License) -> None:
    chapter("An allotment reserves; the bill of entry that takes its place releases it")
    company = Company.objects.create(iec="DEMOA1234B", name="Surat Foods")
    allotment = Allotment.objects.create(company=company, item_name="cashew", required_quantity=100)
    with balance_changes(license, "400.00 reserved"):
        AllotmentLine.objects.create(allotment=allotment, import_item=first_item(license), quantity=100, cif_fc=400)
    with balance_changes(license, "released, and 390.00 debited in its place"), transaction.atomic():
        bill = BillOfEntry.objects.create(number="9900002", date=business_date(), company=company)
        BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=first_item(license), quantity=98, cif_fc=390)
        allotment.bills_of_entry.add(bill)


def overdraw(license: License) -> None:
    chapter("A bill of entry takes more than is left")
    left = LicenseBalance.objects.get(pk=license.pk).balance_cif
    with balance_changes(license, "shown as overdrawn, never hidden by the zero"):
        bill = BillOfEntry.objects.create(number="9900003", date=business_date())
        BillOfEntryLine.objects.create(
            bill_of_entry=bill, import_item=first_item(license), quantity=1, cif_fc=left + Decimal("250.00")
        )


def the_night(license: License) -> None:
    chapter("Does every balance equal its facts? (manage.py audit_drift)")
    call_command("audit_drift")
    say("Now somebody writes balances by hand, past the guard, and a change gets lost.")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE license_exportitem SET cif_fc = cif_fc + 1000 WHERE license_id = %s", [license.pk])
        cursor.execute("DELETE FROM ledger_licensechange")
        cursor.execute("SET LOCAL ledger.engine = 'on'")
        cursor.execute(
            "UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = "
            "(SELECT min(license_id) FROM ledger_licensebalance)"
        )
    try:
        call_command("audit_drift")
    except SystemExit as stop:
        say(f"(exit status {stop.code})")
    chapter("Midnight: every license is reconciled (license.tasks.sync_all_licenses)")
    result = sync_all_licenses()
    say(f"status {result['status']} at {result['timestamp']}; its output is the report of the night:")
    console.print(result["output"], end="", soft_wrap=True)
    call_command("audit_drift")
    chapter("The report as a file to keep or to mail (manage.py night_report --format html)")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    call_command("night_report", "--format", "html", "--output", str(REPORT))
    say(f"open {REPORT.relative_to(CHECKOUT)} in a browser: one file, {REPORT.stat().st_size // 1024 + 1} kB")


def first_item(license: License) -> ImportItem:
    return license.import_items.order_by("serial_number")[0]


@contextmanager
def balance_changes(license: License, how: str) -> Iterator[None]:
    """Say what the balance was, let the write happen, and measure how long after it the balance follows."""
    before = LicenseBalance.objects.get(pk=license.pk)
    yield
    start = time.monotonic()
    until("the balance follows", lambda: LicenseBalance.objects.get(pk=license.pk).computed_at != before.computed_at)
    elapsed_ms = (time.monotonic() - start) * 1000
    after = LicenseBalance.objects.get(pk=license.pk)
    item = ImportItemBalance.objects.get(license=license, import_item=first_item(license))
    over = f", overdrawn by {indian(after.overdrawn_cif)}" if after.overdrawn_cif else ""
    say(
        f"{license.license_number}: {indian(before.balance_cif)} → {indian(after.balance_cif)}{over} "
        f"{elapsed_ms:.0f} ms after the commit ({how}); "
        f"item {first_item(license).serial_number} has {indian(item.available_quantity, 3)} left"
    )


def until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"demo: {what}: not within {PATIENCE_SECONDS} seconds")
        time.sleep(0.001)


if __name__ == "__main__":
    main()

"""How much each page asks of the database: a handful of queries, and as many for one row as for many."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import Settings

from api.models import Token, Webhook
from ledger.engine import drain
from ledger.icegate.ledger import Problem
from ledger.icegate.load import Change
from ledger.models import (
    Allotment,
    AllotmentLine,
    BillOfEntry,
    BillOfEntryLine,
    Settlement,
    Upload,
    UploadedLicense,
    UploadFile,
    UploadState,
)
from license.models import Company, ExportItem, HSCode, ImportItem, ItemName, License, Port, SionNorm
from reconcile import night
from reconcile.models import RunTrigger
from tests.conftest import sql
from tests.web.conftest import Kind, LogIn, make

pytestmark = pytest.mark.usefixtures("database")

QUERIES = {
    "home": 14, "licenses": 8, "license": 18, "items": 14, "bills_of_entry": 9, "bill_of_entry": 7,
    "allotments": 10, "allotment": 9, "allotment_pdf": 11, "allot": 7, "find": 11, "find_csv": 7, "find_xlsx":
    11, "give_up": 7, "forecast": 7, "runs": 6, "run": 14, "drift": 6, "findings": 7, "run_now": 6, "login": 2,
    "logout": 2, "licenses_csv": 6, "licenses_xlsx": 11, "items_xlsx": 11, "report_file": 5,
    "balance_sheet_pdf": 13, "balance_sheet_xlsx": 13, "balance_sheets_pdf": 14, "balance_sheets_xlsx": 14,
    "ledgers": 7, "upload": 9, "uploaded_license": 5, "matches": 5, "mismatch": 8, "settled": 7,
    "trail": 5, "trail_statement": 7, "trail_csv": 14, "license_trail": 18, "license_trail_csv": 16,
    "as_of": 7, "as_of_csv": 7, "license_as_of": 13, "license_as_of_pdf": 13, "license_as_of_xlsx": 13,
}  # fmt: skip
"""By page, those of session, user and permissions among them."""
OF_A_LICENSE = {"balance_sheets_pdf": 9, "balance_sheets_xlsx": 9}
"""A balance sheet is of a snapshot of its own, so these ask so much for each license more."""
MOST_OF_ENTRY = {"changelist": 8, "add": 6, "change": 14, "delete": 14, "history": 7}
"""Of data entry, by what a page does with what is entered; all others are given as many as a list."""
PARAMETERS = {
    "pk": 1, "object_id": 1, "id": 1, "number": "0310000001", "kind": "overdrawn", "form": "csv",
    "app_label": "license", "license_pk": 1, "what": "disputed",
}  # fmt: skip
"""What stands in addresses."""
ASKED = {
    "items": "?norm=E5",
    "find": "?norm=E5",
    "find_csv": "?norm=E5",
    "find_xlsx": "?norm=E5",
    "allot": "?norm=E5&quantity=1",
    "items_xlsx": "?norm=E5",
    "entry:autocomplete": "?app_label=license&model_name=license&field_name=exporter",
}
FEW, MANY = 1, 12
PROBLEM = Problem("ledger.csv", 1, 1, "date", "", "'31/02/2025' is not a date")
CHANGE = Change("import item", "new", 1, None, {"quantity": (None, "1.000")})


def addresses(within: list[URLPattern | URLResolver], namespace: str = "") -> Iterator[tuple[str, str]]:
    """Each page that there is, and an address of it."""
    for pattern in within:
        if isinstance(pattern, URLResolver):
            if pattern.namespace in ("api-1", "monitor"):  # tests/api and tests/monitor count their own
                continue
            yield from addresses(pattern.url_patterns, f"{pattern.namespace}:" if pattern.namespace else namespace)
        elif pattern.name or not namespace:  # the admin's redirects have no name
            name = f"{namespace}{pattern.name}"
            parameters = {part: PARAMETERS[part] for part in pattern.pattern.regex.groupindex}
            yield name, reverse(name, kwargs=parameters) + ASKED.get(name, "")


def grow(first: int, last: int) -> None:
    """So many licenses, each overdrawn, with all that pages show of them; bill of entry 1 and allotment 1 touch all of
    them. And as many people, companies, ports and uploads; upload 1 has so many files, each with its faults and with a
    license of which it changes so much."""
    port = Port.objects.get_or_create(code="INNSA1")[0]
    norm = SionNorm.objects.get_or_create(code="E5")[0]
    name = ItemName.objects.get_or_create(name="Sugar", sion_norm=norm, restriction_percentage=10)[0]
    for n in range(first, last + 1):
        make(f"03100000{n:02}", Kind("", debit="12000"), port)
        Company.objects.create(iec=f"9{n:09}")
        Port.objects.create(code=f"{n}")
        user = User.objects.create(username=f"person {n}")
        Token.make(user)
        Webhook.objects.create(user=user, url="https://erp.example/", secret="whsec_", position=0)  # noqa: S106
        Upload.objects.create(form=uuid4(), state=UploadState.PREVIEWED)
        file = UploadFile.objects.create(upload_id=1, size=1, problems=[asdict(PROBLEM)] * n)
        UploadedLicense.objects.create(
            file=file, is_loaded=False, license_number=n, line=1, status="updated", notes=[], counts={}, changes=[]
        )
    ExportItem.objects.update(norm=norm)
    ImportItem.objects.update(hs_code=HSCode.objects.get_or_create(code="0801")[0])
    name.import_items.set(ImportItem.objects.all())
    of_all = {"bill_of_entry": BillOfEntry.objects.get(pk=1)}, {"allotment": Allotment.objects.get(pk=1)}
    for model, document in zip((BillOfEntryLine, AllotmentLine), of_all, strict=True):
        rest = ImportItem.objects.filter(serial_number=2).exclude(pk__in=model.objects.values("import_item"))
        model.objects.bulk_create(model(import_item=item, **document) for item in rest)
    of_all[1]["allotment"].bills_of_entry.add(*BillOfEntry.objects.all())
    License.objects.update(ledger_as_of="2026-03-01")  # which does not show these bills
    for license in License.objects.filter(pk__gte=first):
        Settlement.objects.create(kind="disputed", license=license, subject_id=1, is_kept=False)
    UploadedLicense.objects.update(changes=[asdict(CHANGE)] * last, counts={"import item new": last})
    drain()
    night.work(night.start(RunTrigger.MANUAL))
    sql("UPDATE reconcile_reconciliationrun SET started_at = started_at - interval '1 hour'")


def asked(client: Client, address: str) -> int:
    """How many queries; a cursor on the server is read by as many as it has parts."""
    with CaptureQueriesContext(connection) as queries, closing(client.get(address)) as response:
        assert response.status_code in (200, 302, 403, 405), (address, response)
        response.getvalue()
    return len([query for query in queries if not query["sql"].startswith(("DECLARE", "FETCH", "CLOSE"))])


def test_a_page_asks_a_handful_and_as_many_for_one_row_as_for_many(log_in: LogIn, settings: Settings) -> None:
    settings.OWED_NIGHT_SECONDS = 0  # home looks whether the night has begun, at any time of the day
    sql("ALTER SEQUENCE auth_user_id_seq RESTART")
    client = log_in("administrator")
    pages = dict(addresses(get_resolver().url_patterns))
    assert sorted(name for name in pages if not name.startswith("entry:")) == sorted(QUERIES)
    grow(FEW, FEW)
    for address in pages.values():  # what a process asks once
        asked(client, address)
    few = {name: asked(client, address) for name, address in pages.items()}
    most = MOST_OF_ENTRY["changelist"]
    assert {name: number for name, number in few.items() if name in QUERIES} == QUERIES
    assert not {
        name: number
        for name, number in few.items()
        if name not in QUERIES and number > MOST_OF_ENTRY.get(name.rpartition("_")[2], most)
    }
    grow(FEW + 1, MANY)
    assert {name: asked(client, address) for name, address in pages.items()} == {
        name: number + OF_A_LICENSE.get(name, 0) * (MANY - FEW) for name, number in few.items()
    }

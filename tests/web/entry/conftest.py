"""What tests of data entry share: two licenses, people, and forms as a browser fills them in."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.models import Company, ExportItem, ImportItem, ItemName, License, SionNorm
from tests.conftest import sql
from tests.web.conftest import LogIn, read

NUMBER = "0310000008"
OTHER = "0310000009"


@pytest.fixture
def operator(log_in: LogIn) -> Client:
    return log_in("operator")


@pytest.fixture
def administrator(log_in: LogIn) -> Client:
    return log_in("administrator")


@pytest.fixture(autouse=True)
def licenses(database: None) -> None:
    """Two licenses: of 1,200.00 with items of 100 (no value of its own), 100 with 500.00, and two of a pool of 120.00;
    and of 10,000.00 with one item of 1,000."""
    norm = SionNorm.objects.create(code="E5")
    name = ItemName.objects.create(name="Cashew", sion_norm=norm, restriction_percentage=10)
    Company.objects.create(iec="0000000009", name="Pune Mills")
    for number, credit, quantities in ((NUMBER, "1200", (100, 100, 100, 100)), (OTHER, "10000", (1000,))):
        license = License.objects.create(license_number=number, license_date="2026-01-01")
        ExportItem.objects.create(license=license, cif_fc=credit, norm=norm, description="Biscuits")
        for serial, quantity in enumerate(quantities, 1):
            item = ImportItem.objects.create(license=license, serial_number=serial, quantity=quantity, unit="KGS")
            if serial == 2:
                ImportItem.objects.filter(pk=item.pk).update(cif_fc=500, description="Sugar")
            elif serial > 2:
                item.item_names.add(name)
    drain()


def item(serial: int, number: str = NUMBER) -> ImportItem:
    return ImportItem.objects.get(license__license_number=number, serial_number=serial)


# ── Forms, as a browser fills them in ─────────────────────────────────────────────────────────────────────────────────


def form(client: Client, address: str) -> dict[str, Any]:
    """What the form at an address would post if nobody touched it."""
    shown = read(client.get(address))
    [found] = shown.tree.xpath("//form[contains(@id, '_form') and @id != 'logout-form']")
    posted: dict[str, Any] = {}
    for key, value in found.form_values():
        posted.setdefault(key, []).append(value)
    return posted


def post(client: Client, address: str, *, lines: list[dict[str, Any]] | None = None, **typed: Any) -> HttpResponse:
    """Fill the form at an address in and save it; `lines` are added to those that are there."""
    posted = form(client, address)
    if lines is not None:
        first = int(posted["lines-INITIAL_FORMS"][0])
        posted["lines-TOTAL_FORMS"] = first + len(lines)
        for n, line in enumerate(lines, first):
            posted |= {f"lines-{n}-{name}": value for name, value in line.items()}
            posted.setdefault(f"lines-{n}-cif_inr", "0")
    return client.post(address, posted | typed | {"_save": "Save"})


def saved(response: HttpResponse) -> None:
    assert response.status_code == 302, errors(response)


def errors(response: HttpResponse) -> list[str]:
    return read(response).texts("//ul[contains(@class, 'errorlist')]/li")


def warnings(response: HttpResponse) -> list[str]:
    """What the form warns of; all else of it is as it was typed, and nothing is wrong with it."""
    shown = read(response)
    assert not shown.tree.xpath("//ul[contains(@class, 'errorlist')] | //p[@class='errornote']")
    assert shown.tree.xpath("//div[@class='overdraws' and @role='alert']//input[@type='checkbox']")
    return shown.texts("//div[@class='overdraws']//li")


def confirmation(response: HttpResponse) -> str:
    return str(read(response).tree.xpath("//input[@name='overdraw']/@value")[0])


def line(of: ImportItem, cif_fc: str = "0", quantity: str = "0") -> dict[str, Any]:
    return {"import_item": of.pk, "cif_fc": cif_fc, "quantity": quantity}


WRITTEN = (
    "license_license", "license_exportitem", "license_importitem", "ledger_billofentry", "ledger_billofentryline",
    "ledger_allotment", "ledger_allotmentline", "ledger_allotment_bills_of_entry", "ledger_licensechange",
    "django_admin_log",
)  # fmt: skip


def facts() -> list[Any]:
    return [sql(f"SELECT * FROM {table} ORDER BY 1") for table in WRITTEN]


BILL = "/entry/ledger/billofentry/add/"
ALLOTMENT = "/entry/ledger/allotment/add/"


def change(of: Any) -> str:
    return reverse(f"entry:{of._meta.app_label}_{of._meta.model_name}_change", args=[of.pk])


def delete(of: Any) -> str:
    return reverse(f"entry:{of._meta.app_label}_{of._meta.model_name}_delete", args=[of.pk])


def bill_of(cif_fc: str, of: ImportItem | None = None, *, quantity: str = "0", number: str = "4711") -> BillOfEntry:
    bill = BillOfEntry.objects.create(number=number, date="2026-02-01")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=of or item(1), cif_fc=cif_fc, quantity=quantity)
    return bill


def allotment_of(cif_fc: str, of: ImportItem | None = None, **more: Any) -> Allotment:
    allotment = Allotment.objects.create(company=Company.objects.get(), **more)
    AllotmentLine.objects.create(allotment=allotment, import_item=of or item(1), cif_fc=cif_fc)
    return allotment

"""What tests of the pages share: people of each role, and a desk with licenses of every kind."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client
from lxml import html

from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.clock import business_date
from license.models import Company, ExportItem, ImportItem, License, Port
from tests.conftest import sql
from tests.roles import pages_of_web

__all__ = ["pages_of_web"]

LogIn = Callable[[str], Client]


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def log_in(database: None) -> Generator[LogIn]:
    """A browser in which somebody of a group is logged in, "operator meera" where there are several; "" for nobody's,
    "anonymous" for nobody."""

    def as_one_of(who: str) -> Client:
        client = Client()
        role, _, name = who.partition(" ")
        if role != "anonymous":
            user, _ = User.objects.get_or_create(username=name or role or "newcomer")
            user.groups.set(Group.objects.filter(name=role))
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    forget_people()
    yield as_one_of
    forget_people()


def forget_people() -> None:
    for table in ("django_admin_log", "auth_user_groups", "auth_user_user_permissions", "api_token", "api_webhook",
                  "auth_user", "django_session", "axes_accessattempt", "axes_accesslog",
                  "axes_accessfailurelog"):  # fmt: skip
        sql(f"DELETE FROM {table}")


@pytest.fixture
def viewer(log_in: LogIn) -> Client:
    return log_in("viewer")


@dataclass
class Kind:
    """A license to make, and the states that the list must find it by."""

    states: str
    credit: str = "10000"
    debit: str = "0"
    expires: int | None = 365
    exporter: str | None = "Surat Foods"
    facts: dict[str, str] = field(default_factory=dict)


KINDS = {
    "0310000001": Kind("active", facts={"file_number": "03/24/040/00017/AM26"}),
    "0310000002": Kind("active expiring-30 expiring-60 expiring-90", expires=30, exporter="Kochi Spices"),
    "0310000003": Kind("active expiring-60 expiring-90", expires=31),
    "0310000004": Kind("active expiring-90", debit="9500", expires=90),
    "0310000005": Kind("active expiring-30 expiring-60 expiring-90", expires=0),
    "0310000006": Kind("expired", expires=-1),
    "0310000007": Kind("null", debit="9500.01", expires=10),
    "0310000008": Kind("null overdrawn", debit="12500.50"),
    "0310000009": Kind("active", expires=None, exporter=None),
    "0310000010": Kind("active", credit="111302.61", facts={"currency": "EUR"}),
    "0310000011": Kind("active pending"),
    "0310000012": Kind("active quarantined"),
}


@pytest.fixture
def desk(database: None) -> None:
    """A license of each kind; the last two are not in step with their facts."""
    make_all(KINDS, Port.objects.create(code="INNSA1"))
    drain()
    ExportItem.objects.create(license=License.objects.get(license_number="0310000012"), cif_fc="9999999999999.99")
    drain()
    ExportItem.objects.filter(license__license_number="0310000011").update(cif_fc=20000)


def make(number: str, kind: Kind, port: Port) -> License:
    """With two items, a bill of entry, and an allotment of nothing."""
    [license] = make_all({number: kind}, port)
    return license


def make_all(kinds: dict[str, Kind], port: Port) -> list[License]:
    """The same for each number, all at once."""
    today = business_date()
    names = {kind.exporter for kind in kinds.values() if kind.exporter}
    exporters = {
        name: Company.objects.get_or_create(name=name, iec=f"{name[:1]}000000001".upper())[0] for name in sorted(names)
    }
    company = Company.objects.get_or_create(iec="0000000009", name="Pune Mills")[0]
    licenses = License.objects.bulk_create(
        License(
            license_number=number,
            license_date="2026-01-01",
            license_expiry_date=None if kind.expires is None else today + timedelta(kind.expires),
            exporter=exporters.get(kind.exporter or ""),
            **kind.facts,
        )
        for number, kind in kinds.items()
    )
    each = list(zip(licenses, kinds.values(), strict=True))
    ExportItem.objects.bulk_create(
        ExportItem(license=license, cif_fc=Decimal(kind.credit), description="Biscuits") for license, kind in each
    )
    items = ImportItem.objects.bulk_create(
        ImportItem(license=license, serial_number=n, quantity=1000) for license in licenses for n in (1, 2)
    )[::2]
    bills = BillOfEntry.objects.bulk_create(
        BillOfEntry(number=license.license_number[-5:], date="2026-02-01", port=port) for license in licenses
    )
    BillOfEntryLine.objects.bulk_create(
        BillOfEntryLine(bill_of_entry=bill, import_item=item, quantity=40, cif_fc=Decimal(kind.debit))
        for bill, item, kind in zip(bills, items, kinds.values(), strict=True)
    )
    allotments = Allotment.objects.bulk_create(Allotment(company=company) for _ in licenses)
    AllotmentLine.objects.bulk_create(
        AllotmentLine(allotment=allotment, import_item=item, quantity=10, cif_fc=0)
        for allotment, item in zip(allotments, items, strict=True)
    )
    return licenses


@dataclass(frozen=True)
class Shown:
    """A page as a person reads it; what to read is said in XPath."""

    tree: html.HtmlElement

    def text(self, path: str) -> str:
        """Of the one element."""
        [words] = self.texts(path)
        return words

    def texts(self, path: str) -> list[str]:
        return [words(element) for element in self.tree.xpath(path)]

    def rows(self, path: str = "//main//tbody/tr") -> list[list[str]]:
        """The cells of each row of a table."""
        return [[words(cell) for cell in row.xpath("th | td")] for row in self.tree.xpath(path)]

    def links(self, path: str = "//main//a") -> dict[str, str]:
        """Where each leads, by what it says."""
        return {words(a): a.get("href") for a in self.tree.xpath(path)}


def words(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def read(response: HttpResponse) -> Shown:
    assert response.status_code == 200, response
    return Shown(html.fromstring(response.content.decode()))

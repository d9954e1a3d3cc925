"""What not everybody knows is explained where it stands."""

import re

import pytest
from django.test import Client
from lxml import html

from desk.templatetags.desk import MEANINGS, in_full, scheme
from ledger.models import Allotment, BillOfEntry
from license.models import Company, ExportItem, License, SionNorm
from reconcile import night
from reconcile.models import RunTrigger
from tests.web.conftest import LogIn

PAGES = (
    "/", "/licenses/", "/licenses/0310000001/", "/licenses/0310000008/", "/items/?norm=E5&minimum=0", "/allotments/",
    "/allotments/1/", "/allotments/2/", "/allotments/2/give-up/", "/bills-of-entry/", "/bills-of-entry/1/",
    "/forecast/", "/reconciliation/", "/find/?norm=E5", "/allot/?norm=E5&currency=USD&quantity=5",
    "/allot/?norm=E5&currency=USD&quantity=5&allotment=1",
)  # fmt: skip
CODES = r"\b(ARO|BE|CIF|DFIA|IEC)\b"
NOT_EXPLAINED = "//main//text()[not(ancestor::abbr or ancestor::option)]"


@pytest.fixture
def operator(desk: None, log_in: LogIn) -> Client:
    """Everything there is to explain stands on a page: licenses of E5, a new one, an ARO, a company without a name."""
    License.objects.create(license_number="0310000099", license_date="2026-01-01")
    ExportItem.objects.update(norm=SionNorm.objects.create(code="E5"))
    Company.objects.filter(name="Pune Mills").update(name="")
    Allotment.objects.filter(pk=2).update(type="ARO")
    Allotment.objects.get(pk=3).bills_of_entry.add(BillOfEntry.objects.get(pk=1))
    night.work(night.start(RunTrigger.MANUAL))
    return log_in("operator")


def test_every_code_is_explained_where_it_stands(operator: Client) -> None:
    found = {}
    for page in PAGES:
        tree = html.fromstring(operator.get(page).content.decode())
        assert [text for text in tree.xpath(NOT_EXPLAINED) if re.search(CODES, text)] == [], page
        found |= {abbr.text_content(): abbr.get("title") for abbr in tree.xpath("//main//abbr")}
    assert {words[0].lower() + words[1:]: meaning for words, meaning in found.items()} == {
        words[0].lower() + words[1:]: meaning for words, meaning in MEANINGS.items()
    }


def test_what_is_not_known_is_shown_as_it_is() -> None:
    assert scheme("26") == f'26 <abbr title="{MEANINGS["DFIA"]}">DFIA</abbr>'
    assert [scheme(code) for code in ("03", "19", "")] == ["03 Advance Authorisation", "19", "–"]
    assert in_full(Company(iec="0000000001", name="<b>")).startswith("&lt;b&gt;, <abbr ")
    assert in_full(None) == "–"

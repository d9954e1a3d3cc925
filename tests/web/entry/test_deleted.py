"""What may be deleted, and what is said of the rest."""

from django.test import Client

from ledger.models import BillOfEntryLine
from license.models import Company, ExportItem, License, Source
from tests.web.conftest import read
from tests.web.entry.conftest import NUMBER, allotment_of, bill_of, change, delete, errors, facts, item, post, saved


def test_deleting_what_is_in_use_is_refused_with_what_uses_it(administrator: Client) -> None:
    License.objects.update(exporter=1)
    page = read(administrator.get(delete(Company.objects.get())))
    assert f"License: {NUMBER}" in page.text("//ul[@id='deleted-objects']")
    assert administrator.post(delete(Company.objects.get()), {"post": "yes"}).status_code == 200
    assert Company.objects.exists()
    License.objects.update(exporter=None)
    saved(administrator.post(delete(Company.objects.get()), {"post": "yes"}))
    assert not Company.objects.exists()


def test_what_customs_has_debited_is_not_deleted_with_what_it_hangs_on(administrator: Client) -> None:
    bill = bill_of("100")
    BillOfEntryLine.objects.update(source=Source.ICEGATE)
    ExportItem.objects.filter(license=1).update(source=Source.ICEGATE)
    before = facts()
    license = change(License.objects.first())
    assert errors(post(administrator, license, **{"import_items-0-DELETE": "on"})) == [
        "Item 1 stays: BE 4711 of 01 Feb 2026 draws on it. Delete the lines that draw on it first."
    ]
    assert "stays" in errors(post(administrator, license, **{"export_items-0-DELETE": "on"}))[0]
    page = read(administrator.post(delete(bill), {"post": "yes"}))
    assert f"Debit of 100.00 from customs' ledger, {NUMBER} / 1" in page.text("//ul[@id='deleted-objects']")
    assert facts() == before
    allotment_of("1", item(2))
    assert "Allotment 1 draws on it" in errors(post(administrator, license, **{"import_items-1-DELETE": "on"}))[0]
    saved(post(administrator, license, **{"import_items-3-DELETE": "on"}))
    saved(administrator.post(delete(bill_of("1", number="5")), {"post": "yes"}))

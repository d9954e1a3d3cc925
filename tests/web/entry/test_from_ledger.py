"""What came from customs' ledger is not typed."""

from django.test import Client

from ledger.models import BillOfEntryLine
from license.models import ExportItem, License, SionNorm, Source
from tests.conftest import sql
from tests.web.conftest import read
from tests.web.entry.conftest import NUMBER, bill_of, change, errors, item, line, post, saved


def test_rows_of_a_ledger_keep_what_the_ledger_says(administrator: Client) -> None:
    """Whatever is posted, and people may fill in what is theirs."""
    License.objects.update(ledger_as_of="2026-04-01", is_expiry_presumed=True, license_expiry_date="2027-01-01")
    ExportItem.objects.update(source=Source.ICEGATE, norm=None)
    bill = bill_of("100", quantity="5")
    BillOfEntryLine.objects.update(source=Source.ICEGATE, disputed_since="2026-05-01")
    page = read(administrator.get(change(bill)))
    assert page.texts("//td[@class='field-origin']/p")[0] == "ICEGATE ledger, not in customs' ledger of 01 May 2026"
    hostile = {
        "number": "1",
        "date": "01/01/2020",
        "lines-0-cif_fc": "1",
        "lines-0-quantity": "1",
        "lines-0-import_item": 2,
    }
    saved(post(administrator, change(bill), company=1, **hostile))
    bill.refresh_from_db()
    assert (bill.number, f"{bill.date}", bill.company_id) == ("4711", "2026-02-01", 1)
    assert sql("SELECT import_item_id, cif_fc::text, quantity::text, source FROM ledger_billofentryline") == [
        (1, "100.00", "5.000", "icegate")
    ]
    assert (
        "A line from customs' ledger stays" in errors(post(administrator, change(bill), **{"lines-0-DELETE": "on"}))[0]
    )

    license = License.objects.first()
    assert "Presumed" in administrator.get(change(license)).content.decode()
    norm = SionNorm.objects.get().pk
    hostile = {"license_number": "1", "export_items-0-cif_fc": "1", "export_items-0-norm": norm}
    saved(post(administrator, change(license), **hostile))
    license.refresh_from_db()
    assert (license.license_number, license.is_expiry_presumed) == (NUMBER, True)
    assert list(license.export_items.values_list("norm", "cif_fc", "source")) == [(norm, 1200, "icegate")]
    saved(post(administrator, change(license), license_expiry_date="30/06/2027"))
    license.refresh_from_db()
    assert (f"{license.license_expiry_date}", license.is_expiry_presumed) == ("2027-06-30", False)


def test_a_ledger_may_have_a_credit_beside_the_debit_of_an_item(operator: Client) -> None:
    bill = bill_of("100")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item(1), cif_fc=5, transaction_type="C")
    saved(post(operator, change(bill), company=1))
    assert "stands 2 times" in errors(post(operator, change(bill), lines=[line(item(1), "1")]))[0]

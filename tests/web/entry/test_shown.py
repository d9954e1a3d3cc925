"""What stands on the pages of data entry that is not typed there."""

from typing import Any

import pytest

from ledger.models import Allotment, BillOfEntry
from license.models import ExportItem, ImportItem, License
from tests.web.conftest import LogIn, Shown, read
from tests.web.entry.conftest import NUMBER, allotment_of, bill_of, change, delete


@pytest.fixture(autouse=True)
def large_numbers(licenses: None) -> None:
    License.objects.update(license_expiry_date="2026-11-22")
    ExportItem.objects.update(cif_fc="212400", net_quantity="123456.5")
    ImportItem.objects.update(quantity="100000", cif_inr="11130261", restriction_percentage="7.5")
    bill_of("212400", quantity="1000")
    BillOfEntry.objects.update(exchange_rate="1083.25")
    allotment_of("212400", required_quantity="250000.125")


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_who_may_only_look_sees_numbers_and_dates_as_on_the_pages(role: str, log_in: LogIn) -> None:
    client = log_in(role)

    def page(of: Any) -> Shown:
        return read(client.get(change(of)))

    def field(of: Any, name: str) -> str:
        return page(of).text(f"//div[contains(@class, 'field-{name}')]//div[@class='readonly']")

    def row(of: Any, table: str) -> list[str]:
        return page(of).texts(f"//*[@id='{table}-0']/td/p")

    license, bill, allotment = License.objects.first(), BillOfEntry.objects.get(), Allotment.objects.get()
    assert field(license, "license_expiry_date") == "22 Nov 2026"
    assert row(license, "export_items")[2:6] == ["1,23,456.5", "0.00", "2,12,400.00", "0.00"]
    assert row(license, "import_items")[3:8] == ["1,00,000", "KGS", "0.00", "1,11,30,261.00", "7.50"]
    assert field(bill, "exchange_rate") == "1,083.2500"
    assert row(bill, "lines")[:4] == [f"{NUMBER} / 1", "1,000", "2,12,400.00", "0.00"]
    assert (field(allotment, "required_quantity"), field(allotment, "unit_price")) == ("2,50,000.125", "–")
    assert row(allotment, "lines")[2] == "2,12,400.00"


def test_what_is_deleted_is_named_with_its_amount_as_on_the_pages(log_in: LogIn) -> None:
    client = log_in("administrator")
    for of in (BillOfEntry.objects.get(), Allotment.objects.get()):
        page = client.get(delete(of)).content.decode()
        assert "2,12,400.00" in page
        assert "212400" not in page

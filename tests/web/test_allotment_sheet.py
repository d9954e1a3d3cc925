"""The sheet of an allotment that is printed: what it holds is what its page and its licenses show."""

import pytest
from django.test import Client

from ledger.models import Allotment, AllotmentLine, BillOfEntry
from license.clock import business_date
from license.formats import day
from license.models import Company, HSCode, ImportItem, License, Port
from tests.web.conftest import LogIn, read
from tests.web.test_files import pages

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def allotment(database: None) -> Allotment:
    """Two lines on a license in USD, one on a license in EUR of which little is known."""
    surat = Company.objects.create(iec="0000000001", name="École & Söhne <b> सूरत")
    first = License.objects.create(
        license_number="0310000001",
        license_date="2026-01-05",
        license_expiry_date="2027-02-28",
        exporter=surat,
        port=Port.objects.create(code="INNSA1"),
        notification_number="025/2023",
    )
    second = License.objects.create(license_number="0310000002", license_date="2026-01-06", currency="EUR")
    code = HSCode.objects.create(code="17019990")
    allotment = Allotment.objects.create(
        company=Company.objects.create(iec="0000000009", name="Pune Mills"),
        item_name="Sugar",
        required_quantity=2000,
        unit_price="2.5",
        estimated_arrival_date="2026-12-01",
    )
    for license, serial, unit, quantity, cif_fc in (
        (first, 2, "KGS", "1000.5", "111302.61"), (first, 7, "<NOS>", "3", "0.39"), (second, 1, "KGS", "1", "5"),
    ):  # fmt: skip
        item = ImportItem.objects.create(
            license=license, serial_number=serial, unit=unit, description=f"Sugar {serial}", hs_code=code
        )
        AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=quantity, cif_fc=cif_fc)
    return allotment


def sheet(client: Client, allotment: Allotment) -> str:
    return " ".join(pages(client.get(f"/allotments/{allotment.pk}/sheet.pdf")))


def test_a_sheet_says_for_whom_what_and_on_which_licenses(allotment: Allotment, viewer: Client) -> None:
    text = sheet(viewer, allotment)
    for words in (
        f"Allotment {allotment.pk}",
        f"To Pune Mills 0000000009, as of {day(business_date())}",
        "Goods Sugar",
        "Expected 01 Dec 2026",
        "Unit price 2.5",
        "Required 2,000",
        "Allotted 1,004.5",
        "Remaining 995.5",
        "Released by not yet: it reserves",
        "0310000001 dated 05 Jan 2026 expires 28 Feb 2027 École & Söhne <b> सूरत INNSA1, 025/2023 2. Sugar 2 HS",
        "HS 17019990 1,000.500 KGS USD 1,11,302.61",
        "7. Sugar 7 HS 17019990 3.000 <NOS> USD 0.39",
        "0310000002 dated 06 Jan 2026 expires – – 1. Sugar 1 HS 17019990 1.000 KGS EUR 5.00",
        "In all 3.000 <NOS> 1,001.500 KGS EUR 5.00 USD 1,11,303.00",
        f"Printed {day(business_date())}",
        "IST by viewer",
        "Page 1 of 1",
    ):
        assert words in text, (words, text)


def test_a_sheet_of_one_that_is_released_or_empty(allotment: Allotment, viewer: Client) -> None:
    allotment.bills_of_entry.add(BillOfEntry.objects.create(number="4711", date="2026-02-01"))
    assert "Released by BE 4711 of 01 Feb 2026" in sheet(viewer, allotment)
    empty = Allotment.objects.create(company=allotment.company, type="ARO")
    text = sheet(viewer, empty)
    assert "Nothing is allotted yet." in text
    assert f"ARO {empty.pk}" in text
    assert "Remaining –" in text


def test_a_long_sheet_repeats_its_heading(allotment: Allotment, viewer: Client) -> None:
    license = License.objects.get(license_number="0310000001")
    items = ImportItem.objects.bulk_create(
        ImportItem(license=license, serial_number=n, unit="KGS", description="Sugar " * 20) for n in range(10, 60)
    )
    AllotmentLine.objects.bulk_create(
        AllotmentLine(allotment=allotment, import_item=item, quantity=1) for item in items
    )
    shown = pages(viewer.get(f"/allotments/{allotment.pk}/sheet.pdf"))
    assert len(shown) > 2
    assert all("License Exporter, port, notification Item Quantity Value" in text for text in shown)
    assert f"Page {len(shown)} of {len(shown)}" in shown[-1]


def test_the_page_leads_to_its_sheet(allotment: Allotment, log_in: LogIn) -> None:
    client = log_in("operator")
    there = f"/allotments/{allotment.pk}/sheet.pdf"
    assert read(client.get(f"/allotments/{allotment.pk}/")).links("//p[@class='download']/a") == {"PDF": there}
    response = client.get(there)
    assert response.headers["Content-Disposition"] == (
        f'attachment; filename="Allotment-{allotment.pk}-{business_date()}.pdf"'
    )
    response.close()
    assert client.get("/allotments/99/sheet.pdf").status_code == 404

"""The sample ledgers as a desk would have them today."""

import io
from datetime import datetime, time, timedelta

from django_setup import CHECKOUT, set_up_django

set_up_django()

from django.core.management import call_command  # noqa: E402

from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine  # noqa: E402
from license.clock import INDIA, business_date  # noqa: E402
from license.models import Company, License, Port  # noqa: E402

FOLDER = CHECKOUT / "samples"
NUMBER = "0311020358"
"""Of the license that has most to show."""
MATCHED = "0310482917"
"""Of the license that people have entered something on beside customs."""
NAMES = (
    "Surat Foods",
    "Malabar Spice Exports",
    "Konkan Chemicals",
    "Deccan Textiles",
    "Hooghly Confectioners",
    "Morbi Ceramics",
)


def load() -> None:
    """Where there is no license yet. The ledgers are of 2025 and have no names: some licenses are made to expire later,
    exporters get a name, one license an allotment, and another what differs from its ledger."""
    if License.objects.exists():
        return
    call_command("import_icegate", *sorted(map(str, FOLDER.glob("[da]*-2025*"))), stdout=io.StringIO())
    for name in ("item-names.csv", "items.csv"):
        call_command("import_items", str(FOLDER / name), stdout=io.StringIO())
    call_command("match_items", stdout=io.StringIO())
    today = business_date()
    for days, license in zip((400, 210, 75, 45, 12, -20), License.objects.order_by("-license_number"), strict=False):
        license.license_expiry_date, license.is_expiry_presumed = today + timedelta(days), False
        license.save()
    for company, name in zip(Company.objects.order_by("pk"), NAMES, strict=False):
        company.name = name
        company.save()
    shown = License.objects.get(license_number=NUMBER)
    shown.file_number = "03/24/040/00017/AM26"
    shown.save()
    item = shown.import_items.order_by("serial_number")[0]
    allotment = Allotment.objects.create(company=Company.objects.order_by("pk")[0], item_name="cashew")
    AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=100, cif_fc="1250.75")
    _enter_beside_customs(License.objects.get(license_number=MATCHED))


def _enter_beside_customs(license: License) -> None:
    """Something for the match desk: an allotment that a debit of the ledger has used, a bill of it that was typed with
    another port, and a debit that customs does not have."""
    items = {item.serial_number: item for item in license.import_items.all()}
    debits = BillOfEntryLine.objects.select_related("bill_of_entry")
    used = debits.filter(import_item=items[3]).latest("bill_of_entry__date")
    made = datetime.combine(used.bill_of_entry.date or business_date(), time(11), INDIA) - timedelta(days=20)
    allotment = Allotment.objects.create(
        company=Company.objects.order_by("pk")[1], item_name="sugar", required_quantity=600, created_at=made
    )
    AllotmentLine.objects.create(allotment=allotment, import_item=items[3], quantity=600, cif_fc="5100.00")
    twin = debits.filter(import_item=items[2]).latest("bill_of_entry__date")
    ports = Port.objects.exclude(pk=twin.bill_of_entry.port_id)
    for number, port, quantity, cif_fc in (
        (twin.bill_of_entry.number, ports[0], twin.quantity, twin.cif_fc),
        ("7750999", ports[0], "25.5", "980.40"),
    ):
        bill = BillOfEntry.objects.create(number=number, date=twin.bill_of_entry.date, port=port)
        BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=items[2], quantity=quantity, cif_fc=cif_fc)

"""The sample ledgers as a desk would have them today."""

import io
from datetime import timedelta

from django_setup import CHECKOUT, set_up_django

set_up_django()

from django.core.management import call_command  # noqa: E402

from ledger.models import Allotment, AllotmentLine  # noqa: E402
from license.clock import business_date  # noqa: E402
from license.models import Company, License  # noqa: E402

FOLDER = CHECKOUT / "samples"
NUMBER = "0311020358"
"""Of the license that has most to show."""
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
    exporters get a name, and one license an allotment."""
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

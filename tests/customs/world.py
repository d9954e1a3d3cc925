"""A license of 1,000.00 by customs' ledger, of which a bill has used 400.00; and what people enter beside it."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from ledger.icegate.load import load
from ledger.icegate.parse import parse_bytes
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine, MismatchKind
from license.clock import INDIA, business_date
from license.models import Company, ImportItem, Port
from tests.icegate.render import Bill, Item, License, text_file

UNCONVERTED, DISPUTED, TWIN, IMBALANCE = MismatchKind
TODAY = business_date()  # when tests are collected: a midnight later it is yesterday, and that must do
PRINTED, IMPORTED, MADE = TODAY - timedelta(5), TODAY - timedelta(10), TODAY - timedelta(20)
BILL = Bill(2, "4711", IMPORTED, "INNSA1", Decimal(10), Decimal(400))
LICENSE = License(
    "0310000001",
    date(2026, 1, 1),
    "ABCDE1234F",
    Decimal(1000),
    Decimal(83000),
    (Item(1, Decimal(50), Decimal(1000)), Item(2, Decimal(100))),
    (BILL,),
    printed_on=PRINTED,
)
NOTHING_YET = replace(LICENSE, bills=(), printed_on=MADE)
OTHER_PORT, OTHER_DAY = ("04711", IMPORTED, "INMUN1"), ("4711", IMPORTED - timedelta(300), "INNSA1")
NO_PORT = ("4711", IMPORTED + timedelta(100), None)
"""How people may have typed the bill of the ledger."""


def loaded(ledger: License, *, force: bool = False) -> None:
    load(parse_bytes("ledger", text_file([ledger])).ledgers, force=force)


def allot(
    quantity: int, cif_fc: int, *, serial_number: int = 2, into: Allotment | None = None, **facts: object
) -> Allotment:
    """Of the license that is loaded, made before its goods came."""
    company = Company.objects.get_or_create(iec="0000000009", name="Pune Mills")[0]
    made = datetime.combine(MADE, timezone.localtime(timezone=INDIA).timetz())
    facts = {"company": company, "created_at": made, "required_quantity": quantity, **facts}
    allotment = into or Allotment.objects.create(**facts)
    item = ImportItem.objects.get(serial_number=serial_number)
    AllotmentLine.objects.create(
        allotment=allotment, import_item=item, quantity=quantity, cif_fc=cif_fc, cif_inr=cif_fc * 80
    )
    return allotment


def typed(
    number: str,
    when: date | None,
    port: str | None,
    cif_fc: int = 400,
    serial_number: int = 2,
    license_id: int = 1,
) -> BillOfEntryLine:
    code = Port.objects.get_or_create(code=port)[0] if port else None
    bill = BillOfEntry.objects.get_or_create(number=number, date=when, port=code)[0]
    item = ImportItem.objects.get(license=license_id, serial_number=serial_number)
    return BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, quantity=10, cif_fc=cif_fc)

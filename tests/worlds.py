"""Made-up worlds of licenses, small enough to be wrong in every way: few values, so that they meet."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from ledger.models import Allotment, AllotmentLine, AllotmentRelease, BillOfEntry, BillOfEntryLine
from license.models import Company, ExportItem, ImportItem, ItemName, License, SionNorm

TODAY = date(2026, 11, 22)
NORMS = ("E1", "E5")
AMOUNTS = [
    Decimal(text) for text in ("0", "0.01", "0.10", "0.11", "12.35", "250", "499.99", "500", "1000.05", "99999.99")
]
OWN_VALUES = [Decimal(0)] * 6 + [Decimal(text) for text in ("0.01", "0.10", "0.11", "500", "1000.05")]
QUANTITIES = [Decimal(text) for text in ("0", "0.001", "7", "100", "100.5")]
PERCENTAGES = [Decimal(text) for text in ("0", "0.05", "10", "33.33")]
EXPIRIES = [None, TODAY - timedelta(1), TODAY, TODAY + timedelta(1)]

amounts, quantities = st.sampled_from(AMOUNTS), st.sampled_from(QUANTITIES)


@dataclass(frozen=True)
class Item:
    quantity: Decimal
    cif_fc: Decimal
    cif_inr: Decimal
    sheet: Decimal | None
    names: frozenset[int]
    debits: tuple[tuple[int, str, Decimal, Decimal], ...]
    allotted: tuple[tuple[int, Decimal, Decimal], ...]


@dataclass(frozen=True)
class LicenseFacts:
    notification: str
    status: str
    expiry: date | None
    exports: tuple[tuple[int | None, Decimal], ...]
    items: tuple[Item, ...]
    first_serial: int


@dataclass(frozen=True)
class World:
    names: tuple[tuple[int | None, Decimal], ...]
    """The norm, by its place in NORMS, and the percentage of each item name."""
    linked: tuple[bool, ...]
    """Whether each allotment is linked to a bill of entry."""
    given_up: tuple[bool, ...]
    """Whether it is given up; of those beyond its end none is."""
    licenses: tuple[LicenseFacts, ...]


BILLS = 3
norm_places = st.sampled_from([None, 0, 0, 1, 1])


def tuples_of(strategy, at_most, at_least=0, **options):
    return st.lists(strategy, min_size=at_least, max_size=at_most, **options).map(tuple)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = draw(tuples_of(st.tuples(norm_places, st.sampled_from(PERCENTAGES)), 5))
    sheets = st.sampled_from([None, None, None, *PERCENTAGES])
    own_values = st.sampled_from(OWN_VALUES)
    # many items without a value of their own, as ledgers have them
    linked = draw(tuples_of(st.booleans(), 3))
    item = st.builds(
        Item,
        quantity=quantities,
        cif_fc=own_values,
        cif_inr=st.sampled_from([Decimal(0)] * 5 + [Decimal(5)]),
        sheet=sheets,
        names=st.frozensets(st.integers(0, len(names) - 1)) if names else st.just(frozenset()),
        debits=tuples_of(
            st.tuples(st.integers(0, BILLS - 1), st.sampled_from("DDDC"), quantities, amounts),
            4,
            unique_by=lambda line: line[:2],
        ),
        allotted=tuples_of(
            st.tuples(st.integers(0, len(linked) - 1), quantities, amounts), 3, unique_by=lambda line: line[0]
        )
        if linked
        else st.just(()),
    )
    license = st.builds(
        LicenseFacts,
        notification=st.sampled_from(["019/2015", "019/2015", "019/2015", "098/2009", ""]),
        status=st.sampled_from(["GE", "GE", "GE", "CO", "IP"]),
        expiry=st.sampled_from(EXPIRIES),
        exports=tuples_of(st.tuples(norm_places, amounts), 3, 1) | st.just(()),
        items=tuples_of(item, 4),
        first_serial=st.integers(1, 2),
    )
    given_up = draw(tuples_of(st.sampled_from([False, False, True]), 3))
    return World(names, linked, given_up, draw(tuples_of(license, 3, 1)))


def write(world: World) -> list[License]:
    """Write a world into the database, through the ORM's bulk methods."""
    norms = [SionNorm.objects.get_or_create(code=code)[0] for code in NORMS]
    company = Company.objects.get_or_create(iec="0000000001")[0]
    names = ItemName.objects.bulk_create(
        ItemName(name=f"name {n}", sion_norm=None if norm is None else norms[norm], restriction_percentage=percentage)
        for n, (norm, percentage) in enumerate(world.names)
    )
    bills = BillOfEntry.objects.bulk_create(BillOfEntry(number=f"{n}", date=TODAY) for n in range(BILLS))
    allotments = Allotment.objects.bulk_create(Allotment(company=company) for _ in world.linked)
    for allotment, is_linked in zip(allotments, world.linked, strict=True):
        if is_linked:
            allotment.bills_of_entry.add(bills[0])
    for allotment, is_given_up in zip(allotments, world.given_up, strict=False):
        if is_given_up:
            AllotmentRelease.objects.create(allotment=allotment)
    licenses = License.objects.bulk_create(
        License(
            license_number=f"{n:010}",
            license_date=TODAY,
            license_expiry_date=facts.expiry,
            notification_number=facts.notification,
            purchase_status=facts.status,
        )
        for n, facts in enumerate(world.licenses)
    )
    for license, facts in zip(licenses, world.licenses, strict=True):
        ExportItem.objects.bulk_create(
            ExportItem(license=license, norm=None if norm is None else norms[norm], cif_fc=cif_fc)
            for norm, cif_fc in facts.exports
        )
        for serial_number, item in enumerate(facts.items, facts.first_serial):
            row = ImportItem.objects.create(
                license=license,
                serial_number=serial_number,
                quantity=item.quantity,
                cif_fc=item.cif_fc,
                cif_inr=item.cif_inr,
                restriction_percentage=item.sheet,
            )
            row.item_names.set([names[n] for n in item.names])
            BillOfEntryLine.objects.bulk_create(
                BillOfEntryLine(
                    bill_of_entry=bills[bill], import_item=row, transaction_type=type_, quantity=quantity, cif_fc=cif_fc
                )
                for bill, type_, quantity, cif_fc in item.debits
            )
            AllotmentLine.objects.bulk_create(
                AllotmentLine(allotment=allotments[n], import_item=row, quantity=quantity, cif_fc=cif_fc)
                for n, quantity, cif_fc in item.allotted
            )
    return licenses

"""Whatever is loaded, entered and settled, in whatever order: what is settled is gone, nothing becomes overdrawn, what
is allotted is all there, balances follow facts, and the parts between customs' balance and ours add up."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from django.contrib.auth.models import User
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import customs
from ledger.models import Allotment, AllotmentLine, BillOfEntry, MismatchKind, Settlement
from ledger.overdraw import newly_overdrawn, positions
from license.models import Company, ImportItem
from tests.conftest import empty_tables, sql
from tests.customs.world import DISPUTED, IMBALANCE, IMPORTED, LICENSE, MADE, PRINTED, TWIN, UNCONVERTED, loaded, typed
from tests.icegate.render import Bill

NUMBERS = ("0310000001", "0310000002")
SHOWN = (
    Bill(2, "4711", IMPORTED, "INNSA1", Decimal(10), Decimal(400)),
    Bill(1, "4711", IMPORTED - timedelta(3), "INNSA1", Decimal(0), Decimal("150.01")),
    Bill(2, "4712", IMPORTED, "INMUN1", Decimal("7.5"), Decimal("33.33")),
)
"""What customs may show of either license."""
MEERA = User(username="meera")
ACTIONS: dict[str, tuple[Callable[[customs.Mismatch, int], None], ...]] = {
    UNCONVERTED: (
        lambda found, bill: customs.convert(found, bill, keep_rest=True, by=MEERA),
        lambda found, bill: customs.convert(found, bill, keep_rest=False, by=MEERA),
        lambda found, _: customs.keep(found, by=MEERA, reason="at sea"),
    ),
    TWIN: (
        lambda found, _: customs.merge(found, by=MEERA),
        lambda found, _: customs.keep(found, by=MEERA, reason="two"),
    ),
    DISPUTED: (
        lambda found, _: customs.take_out(found, by=MEERA, reason="cancelled"),
        lambda found, _: customs.keep(found, by=MEERA, reason="filed", until_next_ledger=True),
    ),
    IMBALANCE: (lambda found, _: customs.keep(found, by=MEERA, reason="known"),),
}
places = st.tuples(st.integers(1, 2), st.integers(1, 2))
"""A license and the serial number of an item."""
quantities, values = st.sampled_from(["0", "3.333", "30"]), st.sampled_from(["0", "100.01", "600"])
loads = st.tuples(st.just("load"), st.integers(1, 2), st.just(frozenset(SHOWN)) | st.frozensets(st.sampled_from(SHOWN)))
allotments = st.tuples(st.just("allot"), places, quantities, values, st.booleans())
bills = st.tuples(
    st.just("type"),
    places,
    st.sampled_from(["4711", "04712"]),
    st.sampled_from([bill.date for bill in SHOWN]),
    st.sampled_from(["INNSA1", "INMUN1", None]),
    st.booleans(),
)
edits = st.tuples(st.just("edit"), st.sampled_from(["cif_fc = cif_fc / 2", "quantity = 0"]))
settlements = st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 5))
days = st.tuples(
    st.lists(allotments, min_size=1, max_size=4),
    st.lists(bills, max_size=3),
    st.lists(loads, min_size=1, max_size=2),
    st.lists(settlements, min_size=1, max_size=3),
    st.lists(settlements | loads | bills | edits, max_size=4),
).map(lambda parts: [step for part in parts for step in part])


class Desk:
    """What may come to two licenses of 1,000.00; their second items share a pool of 40 % with nobody."""

    def __init__(self) -> None:
        empty_tables()
        self.loads = 0
        Company.objects.create(iec="0000000009", name="Pune Mills")
        for license_id in (1, 2):
            self.load(license_id, frozenset(), MADE)
        sql("UPDATE license_importitem SET restriction_percentage = 40 WHERE serial_number = 2")

    def load(self, license_id: int, bills: frozenset[Bill], printed_on: object = None) -> None:
        self.loads += 1
        day = printed_on or PRINTED + timedelta(min(self.loads, 5))
        shown = tuple(bill for bill in SHOWN if bill in bills)
        loaded(replace(LICENSE, number=NUMBERS[license_id - 1], bills=shown, printed_on=day))

    def allot(self, place: tuple[int, int], quantity: str, cif_fc: str, is_new: bool) -> None:
        allotment = Allotment.objects.order_by("pk").last()
        if is_new or allotment is None:
            allotment = Allotment.objects.create(company_id=1, created_at=f"{MADE}T12:00Z", required_quantity="12.5")
        AllotmentLine.objects.get_or_create(
            allotment=allotment, import_item=item(place),
            defaults={"quantity": quantity, "cif_fc": cif_fc, "cif_inr": 100},
        )  # fmt: skip

    def type(self, place: tuple[int, int], number: str, day: object, port: str | None, releases: bool) -> None:
        bill = BillOfEntry.objects.filter(number=number, date=day, port__code=port).first()
        if bill is None or not bill.lines.filter(import_item=item(place)).exists():
            bill = typed(number, day, port, 90, place[1], place[0]).bill_of_entry
        if releases and (newest := Allotment.objects.order_by("pk").last()):
            newest.bills_of_entry.add(bill)

    def edit(self, figures: str) -> None:
        sql(f"UPDATE ledger_billofentryline SET {figures} WHERE id = (SELECT min(id) FROM ledger_billofentryline)")

    def settle(self, which: int, way: int) -> None:
        open_ones = [found for kind in MismatchKind for found in customs.mismatches(kind)]
        if not open_ones:
            return
        found = open_ones[which % len(open_ones)]
        bills = [found.other_id, *(other["bill_of_entry_id"] for other in found.details.get("others", ()))]
        assert found.kind != UNCONVERTED or found.amount or found.quantity != 0
        stood, was, had = positions([1, 2]), allotted(), Settlement.objects.count()
        ACTIONS[found.kind][way % len(ACTIONS[found.kind])](found, bills[which % len(bills)])
        assert newly_overdrawn(stood, positions([1, 2])) == []
        assert allotted() == was
        assert not Allotment.objects.filter(lines=None).exists()
        assert Settlement.objects.count() > had
        now = customs.find(found.kind, found.license_id, found.subject_id)
        assert now is None or now.seen != found.seen


def item(place: tuple[int, int]) -> ImportItem:
    return ImportItem.objects.get(license=place[0], serial_number=place[1])


def allotted() -> list[object]:
    """What all allotments require, and reserve of each item, whether released or not."""
    of_items = AllotmentLine.objects.order_by("import_item").values_list("import_item")
    return [
        Allotment.objects.aggregate(Sum("required_quantity")),
        *of_items.annotate(Sum("quantity"), Sum("cif_fc"), Sum("cif_inr")),
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(days)
def test_whatever_is_settled_in_whatever_order(drained: Callable[[], None], day: list[tuple[object, ...]]) -> None:
    desk = Desk()
    for way, *step in day:
        getattr(desk, f"{way}")(*step)
    drained()
    for license_id in (1, 2):
        bridge = customs.bridge(license_id)
        assert bridge is not None
        parts = (bridge.totals, bridge.entitlement, bridge.edited, bridge.unconfirmed, bridge.later, bridge.allotted)
        assert bridge.customs_balance_cif + sum(parts) == bridge.raw

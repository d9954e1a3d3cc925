"""Allotting: an allotment reserves parts of import items, only where their licenses still have them.

What they have is counted from facts, by the one definition of the rules, while nobody else draws on the same licenses
(`ledger.overdraw`): of two people in the same second the second one is told that it is gone, through another item of
the license too.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError, transaction
from django.db.models import F, Sum

from ledger.models import Allotment, AllotmentLine, AllotmentRelease, Allotting
from ledger.overdraw import Positions, after, before, confirm, newly_overdrawn, positions
from ledger.sql import queries
from license.clock import business_date
from license.fields import MONEY_MAX, QUANTITY_MAX
from license.formats import quantity
from license.models import ImportItem
from license.units import rounded_down

Person = User | AnonymousUser
OVERDRAW = "ledger.overdraw_allotment"
"""The permission to allot more than a license has left."""
CENT = Decimal("0.01")
LEAST_OFFER = Decimal(1)
"""An item with less than one of its unit left is no offer: such a rest of a sum cannot be used."""


@dataclass(frozen=True, slots=True)
class Share:
    """What is to be reserved on one import item: a quantity in its unit, a value in the currency of its license."""

    import_item_id: int
    quantity: Decimal
    cif_fc: Decimal


class RefusedError(Exception):
    """Nothing was allotted; says why and what to do, in a sentence."""


class AllottedAlreadyError(Exception):
    """Nothing was allotted: with this key something has been allotted before."""

    def __init__(self, allotment_id: int) -> None:
        super().__init__(f"allotted already: {allotment_id}")
        self.allotment_id = allotment_id


def allot(
    allotment: Allotment, shares: Sequence[Share], *, by: Person, confirmation: str = "", key: UUID | None = None
) -> Allotment:
    """Reserve these shares for an allotment, all or none; on an item of which it has a part already they come on top.
    A new one is saved with them, or not at all. The allotment as it is stored. What is sent twice with one key is
    allotted once, in the same second too.

    Raises Allotment.DoesNotExist, AllottedAlreadyError, RefusedError, and OverdrawsError where a license, an item or
    the pool of a restriction has not enough left, unless `by` has the permission OVERDRAW and the confirmation is that
    of the error: then it is written down. Must be called outside a transaction.
    """
    try:
        return _allot(allotment, shares, by=by, confirmation=confirmation, key=key)
    except IntegrityError as error:
        if key and (before := Allotting.objects.filter(pk=key).first()):
            raise AllottedAlreadyError(before.allotment_id) from None
        raise RefusedError(
            "Somebody has changed or deleted meanwhile what this refers to: the company, an item, or the allotment. "
            "Open the page anew."
        ) from error


def _allot(
    allotment: Allotment, shares: Sequence[Share], *, by: Person, confirmation: str, key: UUID | None
) -> Allotment:
    if any(not (_fits(share.quantity, QUANTITY_MAX) and _fits(share.cif_fc, MONEY_MAX)) for share in shares):
        raise RefusedError(
            "A quantity has at most three decimal places and a value two, neither is below 0, and neither has more "
            "digits than a license has room for."
        )
    if not shares or any(share.quantity == share.cif_fc == 0 for share in shares):
        raise RefusedError("There is nothing to allot: give a quantity or a value for each item.")
    if len({share.import_item_id for share in shares}) < len(shares):
        raise RefusedError("An item is named twice; name it once, with the sum.")
    with transaction.atomic(durable=True):
        if allotment.pk is None:
            allotment = copy(allotment)
            allotment.save()
        else:
            allotment = Allotment.objects.select_for_update().get(pk=allotment.pk)
        if key:  # whoever has sent the same is waited for
            Allotting.objects.create(pk=key, allotment=allotment, allotted_by=by.get_username())
        must_reserve(allotment)
        _must_be_required(allotment, shares)
        items = ImportItem.objects.in_bulk([share.import_item_id for share in shares])
        if len(items) < len(shares):
            raise RefusedError("An item is gone that was there when the page was opened. Open it anew.")
        had = before({item.license_id for item in items.values()})
        _write(allotment, shares)
        _confirm(allotment, had, by, confirmation)
        return allotment


def give_up(allotment: Allotment, *, by: Person) -> None:
    """Let an allotment reserve nothing any more. What is released by a bill of entry, or given up, stays as it is."""
    with transaction.atomic(durable=True):
        allotment = Allotment.objects.select_for_update().get(pk=allotment.pk)
        if not allotment.bills_of_entry.exists():
            AllotmentRelease.objects.get_or_create(allotment=allotment, defaults={"released_by": by.get_username()})


def take_up_again(allotment: Allotment, *, by: Person, confirmation: str = "") -> None:
    """Let an allotment that was given up reserve again. If its last day has passed, it has none any more.

    Raises OverdrawsError as `allot` does, where what it had reserved is gone by now.
    """
    with transaction.atomic(durable=True):
        allotment = Allotment.objects.select_for_update().get(pk=allotment.pk)
        had = before(allotment.lines.order_by().values_list("import_item__license", flat=True).distinct())
        for release in AllotmentRelease.objects.filter(allotment=allotment):
            release.delete()
        if allotment.last_day and allotment.last_day < business_date():
            allotment.last_day = None
            allotment.save(update_fields=["last_day"])
        _confirm(allotment, had, by, confirmation)


def _confirm(allotment: Allotment, had: Positions, by: Person, confirmation: str) -> None:
    confirm(
        newly_overdrawn(had, after()),
        entry=str(allotment),
        by=by.get_username(),
        confirmation=confirmation if by.has_perm(OVERDRAW) else "",
    )


def _fits(number: Decimal, greatest: Decimal) -> bool:
    """Whether a column of which `greatest` is the greatest number holds it as it is."""
    return number.is_finite() and 0 <= number <= greatest and number == number.quantize(greatest)


def must_reserve(allotment: Allotment) -> None:
    """Raises RefusedError for one that is released, or given up."""
    if allotment.bills_of_entry.exists():
        raise RefusedError(f"{allotment} is released by a bill of entry and reserves nothing; make a new one.")
    if AllotmentRelease.objects.filter(allotment=allotment).exists():
        raise RefusedError(f"{allotment} is given up and reserves nothing; take it up again first, or make a new one.")


def _must_be_required(allotment: Allotment, shares: Iterable[Share]) -> None:
    if not allotment.required_quantity:  # nobody has said
        return
    left, wanted = remaining(allotment), sum((share.quantity for share in shares), Decimal(0))
    if wanted > left:
        raise RefusedError(
            f"{allotment} requires {quantity(allotment.required_quantity)}, of which {quantity(max(left, Decimal(0)))} "
            f"remain to be allotted, and this is {quantity(wanted)}. Allot less, or correct what it requires first."
        )


def remaining(allotment: Allotment) -> Decimal:
    """How much of what it requires is not allotted yet; below 0 where it is more."""
    allotted: Decimal | None = allotment.lines.aggregate(Sum("quantity"))["quantity__sum"]
    return allotment.required_quantity - (allotted or 0)


def _write(allotment: Allotment, shares: Iterable[Share]) -> None:
    for share in shares:
        more = {"quantity": F("quantity") + share.quantity, "cif_fc": F("cif_fc") + share.cif_fc}
        if not allotment.lines.filter(import_item=share.import_item_id).update(**more):
            allotment.lines.create(import_item_id=share.import_item_id, quantity=share.quantity, cif_fc=share.cif_fc)


def value_of(quantity: Decimal, unit_price: Decimal) -> Decimal:
    """To the cent, half up."""
    return (quantity * unit_price).quantize(CENT, ROUND_HALF_UP)


def most(
    wanted: Decimal, unit_price: Decimal, available_quantity: Decimal, available_value: Decimal, unit: str
) -> Decimal:
    """How much of what is wanted an item with this much left can take: by quantity and by value, rounded down to what
    its unit allows. Its value is counted before it is rounded to the cent, so that what is left may be a cent more than
    was needed: at most one more step of the unit."""
    if available_quantity < LEAST_OFFER:
        return Decimal(0)
    can = min(wanted, available_quantity)
    if unit_price:
        can = min(can, available_value / unit_price)
    return rounded_down(can, unit)


def propose(import_item_ids: Iterable[int], wanted: Decimal, unit_price: Decimal) -> list[Share]:
    """Split what is wanted over these items, in their order: each takes the most that it can beside those before it, by
    its balance and its pools too. It comes to less where they have less. Reserves nothing."""
    shares: list[Share] = []
    items = ImportItem.objects.in_bulk(import_item_ids := list(import_item_ids))
    with _as_if():
        for item in (items[pk] for pk in import_item_ids if pk in items):
            rows = queries.dicts("explain_license", license_ids=[item.license_id], today=None)
            [row] = [row for row in rows if row["import_item_id"] == item.pk]
            can = most(wanted, unit_price, row["available_quantity"], row["available_value"], item.unit)
            if can <= 0:
                continue
            share = Share(item.pk, can, value_of(can, unit_price))
            _reserve_as_if([share])
            shares.append(share)
            wanted -= can
            if not wanted:
                break
    return shares


@dataclass(frozen=True, slots=True)
class Rest:
    """What an import item has left, or would have, and its license."""

    license_id: int
    balance_cif: Decimal
    available_quantity: Decimal
    available_value: Decimal


def left(import_item_ids: Iterable[int]) -> dict[int, Rest]:
    """What each of them that there is has now, by its facts."""
    items = ImportItem.objects.in_bulk(list(import_item_ids))
    return _rest(items.values())


def _rest(items: Iterable[ImportItem]) -> dict[int, Rest]:
    of_license = {item.pk: item.license_id for item in items}
    rows = queries.dicts("explain_license", license_ids=sorted(set(of_license.values())), today=None)
    return {
        row["import_item_id"]: Rest(**{name: row[name] for name in Rest.__dataclass_fields__})
        for row in rows
        if row["import_item_id"] in of_license
    }


def what_if(shares: Sequence[Share]) -> tuple[dict[int, Rest], list[str]]:
    """What would be left if these shares were reserved: by import item; and in sentences what that would overdraw.
    Reserves nothing. Shares of items that are gone count for nothing."""
    items = ImportItem.objects.in_bulk([share.import_item_id for share in shares])
    license_ids = sorted({item.license_id for item in items.values()})
    with _as_if():
        had = positions(license_ids)
        _reserve_as_if([share for share in shares if share.import_item_id in items])
        return _rest(items.values()), [each.sentence for each in newly_overdrawn(had, positions(license_ids))]


@contextmanager
def _as_if() -> Iterator[None]:
    """A transaction of which nothing stays."""
    with transaction.atomic(durable=True):
        try:
            yield
        finally:
            transaction.set_rollback(True)


def _reserve_as_if(shares: Iterable[Share]) -> None:
    """For an allotment that there is not: keys are looked at when a transaction commits, and this one never does."""
    AllotmentLine.objects.bulk_create(
        AllotmentLine(allotment_id=0, import_item_id=share.import_item_id, quantity=share.quantity, cif_fc=share.cif_fc)
        for share in shares
    )

"""The batch of today: license by license, with aggregates of the ORM, as Django code for a night mostly is.

A hundred licenses are one transaction, and what can be had with one query is had with one: the items of a license come
with their names and their stored balance. It stores what it has computed, as such batches do.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice

from django.db import transaction
from django.db.models import Sum

from ledger.models import AllotmentLine, BillOfEntryLine
from license.clock import business_date
from license.models import ImportItem, License
from peers.models import TodayItem, TodayLicense
from peers.rules import NULL_BELOW, Item, own_value, smallest_pools

BATCH_SIZE = 100
ZERO = Decimal(0)


def fill(licenses: Iterable[int]) -> None:
    """A place for each result: today's batch finds the columns that it fills in the rows of licenses and items."""
    ids = list(licenses)
    TodayLicense.objects.bulk_create(TodayLicense(license_id=pk) for pk in ids)
    TodayItem.objects.bulk_create(
        TodayItem(item_id=pk) for pk in ImportItem.objects.filter(license_id__in=ids).values_list("id", flat=True)
    )


def sync(licenses: Sequence[int]) -> None:
    """Compute and store the balances of these licenses, and of their import items."""
    for ids in _batches(licenses):
        with transaction.atomic():
            for license in License.objects.filter(pk__in=ids).select_related("today"):
                _sync(license)


def _sync(license: License) -> None:
    export_items = list(license.export_items.all())
    credit_cif = sum((item.cif_fc for item in export_items), ZERO)
    items = list(license.import_items.select_related("today").prefetch_related("item_names"))
    for item in items:
        debited = BillOfEntryLine.objects.filter(import_item=item, transaction_type="D").aggregate(
            quantity=Sum("quantity"), value=Sum("cif_fc")
        )
        allotted = AllotmentLine.objects.filter(import_item=item, allotment__bills_of_entry=None).aggregate(
            quantity=Sum("quantity"), value=Sum("cif_fc")
        )
        item.today.debited_quantity, item.today.debited_value = debited["quantity"] or ZERO, debited["value"] or ZERO
        item.today.allotted_quantity = allotted["quantity"] or ZERO
        item.today.allotted_value = allotted["value"] or ZERO
    raw = credit_cif - sum((item.today.debited_value + item.today.allotted_value for item in items), ZERO)
    balance_cif = max(raw, ZERO)
    pools = smallest_pools(
        credit_cif,
        {item.norm_id for item in export_items},
        [
            Item(
                item.pk,
                item.restriction_percentage,
                [(name.sion_norm_id, name.restriction_percentage) for name in item.item_names.all()],
                item.today.debited_value + item.today.allotted_value,
            )
            for item in items
        ],
        is_bound=license.notification_number != "098/2009" and license.purchase_status != "CO",
    )
    others_have_none = len(items) > 1 and not any(i.cif_fc or i.cif_inr for i in items if i.serial_number != 1)
    for item in items:
        value = own_value(
            item.cif_fc,
            item.today.debited_value + item.today.allotted_value,
            raw,
            pools.get(item.pk),
            carries_total=item.serial_number == 1 and others_have_none,
        )
        used = item.today.debited_quantity + item.today.allotted_quantity
        item.today.available_quantity = max(item.quantity - used, ZERO)
        item.today.available_value = min(max(value, ZERO), balance_cif)
        item.today.save()
    license.today.balance_cif = balance_cif
    license.today.is_null = balance_cif < NULL_BELOW
    expiry = license.license_expiry_date
    license.today.is_expired = expiry is not None and expiry < business_date()
    license.today.save()


def _batches(licenses: Sequence[int]) -> Iterator[list[int]]:
    remaining = iter(licenses)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch

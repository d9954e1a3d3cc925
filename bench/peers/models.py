"""Models of two peers.

`License` to `AllotmentLine`: the facts in tables of their own, with the balances kept by django-computedfields as its
documentation recommends: every field with all that it depends on, sums over prefetched rows, fast updates. It knows all
rules but that `is_expired` turns at midnight. What an item's pools leave it is computed once for the whole license
(`pools`), not by each item over its siblings.

`TodayLicense`, `TodayItem`: where the batch of today (today.py) stores its results; our guard is not in its way there.
"""

from decimal import Decimal

from computedfields.models import ComputedFieldsModel, computed
from django.db import models

from license import fields
from license.clock import business_date
from license.models import ImportItem as Item
from license.models import ItemName, SionNorm
from license.models import License as OurLicense
from peers.rules import NULL_BELOW, own_value, smallest_pools
from peers.rules import Item as ItemFacts

ZERO = Decimal(0)


class License(ComputedFieldsModel):
    license_number = models.CharField(max_length=20, unique=True)
    license_expiry_date = models.DateField(null=True)
    notification_number = models.CharField(max_length=50, default="")
    purchase_status = models.CharField(max_length=2, default="GE")

    @computed(fields.money(), depends=[("export_items", ["cif_fc"])], prefetch_related=["export_items"])
    def credit_cif(self):
        return sum((item.cif_fc for item in self.export_items.all()), ZERO) if self.pk else ZERO

    @computed(fields.money(), depends=[("items", ["debited_value"])], prefetch_related=["items"])
    def debited_cif(self):
        return sum((item.debited_value for item in self.items.all()), ZERO) if self.pk else ZERO

    @computed(fields.money(), depends=[("items", ["allotted_value"])], prefetch_related=["items"])
    def allotted_cif(self):
        return sum((item.allotted_value for item in self.items.all()), ZERO) if self.pk else ZERO

    @computed(fields.money(), depends=[("self", ["credit_cif", "debited_cif", "allotted_cif"])])
    def balance_cif(self):
        return max(self.credit_cif - self.debited_cif - self.allotted_cif, ZERO)

    @computed(fields.money(), depends=[("self", ["credit_cif", "debited_cif", "allotted_cif"])])
    def overdrawn_cif(self):
        return max(self.debited_cif + self.allotted_cif - self.credit_cif, ZERO)

    @computed(models.BooleanField(default=True), depends=[("self", ["balance_cif"])])
    def is_null(self):
        return self.balance_cif < NULL_BELOW

    @computed(models.BooleanField(default=False), depends=[("self", ["license_expiry_date"])])
    def is_expired(self):
        return self.license_expiry_date is not None and self.license_expiry_date < business_date()

    @computed(
        models.BooleanField(default=False),
        depends=[("items", ["serial_number", "cif_fc", "cif_inr"])],
        prefetch_related=["items"],
    )
    def first_carries_total(self):
        others = [item for item in self.items.all() if item.serial_number != 1] if self.pk else []
        return bool(others) and not any(item.cif_fc or item.cif_inr for item in others)

    @computed(
        models.JSONField(default=dict),
        depends=[
            ("self", ["credit_cif", "notification_number", "purchase_status"]),
            ("export_items", ["norm"]),
            ("items", ["debited_value", "allotted_value", "restriction_percentage"]),
            ("items.item_names", ["sion_norm", "restriction_percentage"]),
        ],
        prefetch_related=["export_items", "items__item_names"],
    )
    def pools(self):
        """What the smallest pool of each restricted item leaves, by the item's id."""
        if not self.pk:
            return {}
        items = (
            ItemFacts(
                item.pk,
                item.restriction_percentage,
                [(name.sion_norm_id, name.restriction_percentage) for name in item.item_names.all()],
                item.debited_value + item.allotted_value,
            )
            for item in self.items.all()
        )
        norms = {item.norm_id for item in self.export_items.all()}
        is_bound = self.notification_number != "098/2009" and self.purchase_status != "CO"
        left = smallest_pools(self.credit_cif, norms, items, is_bound=is_bound)
        return {str(item): str(value) for item, value in left.items()}


class ExportItem(models.Model):
    license = models.ForeignKey(License, models.CASCADE, related_name="export_items")
    norm = models.ForeignKey(SionNorm, models.PROTECT, null=True, related_name="+")
    cif_fc = fields.money()


class ImportItem(ComputedFieldsModel):
    license = models.ForeignKey(License, models.CASCADE, related_name="items", db_index=False)
    serial_number = models.PositiveIntegerField()
    quantity = fields.quantity()
    cif_fc = fields.money()
    cif_inr = fields.money()
    restriction_percentage = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    item_names = models.ManyToManyField(ItemName, related_name="peer_items")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["license", "serial_number"], name="peers_importitem_serial")]

    @computed(fields.quantity(), depends=[("lines", ["transaction_type", "quantity"])], prefetch_related=["lines"])
    def debited_quantity(self):
        return sum((line.quantity for line in self.debits()), ZERO)

    @computed(fields.money(), depends=[("lines", ["transaction_type", "cif_fc"])], prefetch_related=["lines"])
    def debited_value(self):
        return sum((line.cif_fc for line in self.debits()), ZERO)

    @computed(
        fields.quantity(),
        depends=[("allotment_lines", ["quantity"]), ("allotment_lines.allotment", ["is_released"])],
        prefetch_related=["allotment_lines__allotment"],
    )
    def allotted_quantity(self):
        return sum((line.quantity for line in self.reservations()), ZERO)

    @computed(
        fields.money(),
        depends=[("allotment_lines", ["cif_fc"]), ("allotment_lines.allotment", ["is_released"])],
        prefetch_related=["allotment_lines__allotment"],
    )
    def allotted_value(self):
        return sum((line.cif_fc for line in self.reservations()), ZERO)

    @computed(fields.quantity(), depends=[("self", ["quantity", "debited_quantity", "allotted_quantity"])])
    def available_quantity(self):
        return max(self.quantity - self.debited_quantity - self.allotted_quantity, ZERO)

    @computed(fields.quantity(), depends=[("self", ["quantity", "debited_quantity", "allotted_quantity"])])
    def overdrawn_quantity(self):
        return max(self.debited_quantity + self.allotted_quantity - self.quantity, ZERO)

    @computed(
        fields.money(),
        depends=[
            ("self", ["serial_number", "cif_fc", "debited_value", "allotted_value"]),
            ("license", ["balance_cif", "overdrawn_cif", "first_carries_total", "pools"]),
        ],
        select_related=["license"],
    )
    def available_value(self):
        return min(max(self.own_value(), ZERO), self.license.balance_cif)

    @computed(
        fields.money(),
        depends=[
            ("self", ["serial_number", "cif_fc", "debited_value", "allotted_value"]),
            ("license", ["balance_cif", "overdrawn_cif", "first_carries_total", "pools"]),
        ],
        select_related=["license"],
    )
    def overdrawn_value(self):
        return max(-self.own_value(), ZERO)

    def debits(self):
        return [line for line in self.lines.all() if line.transaction_type == "D"] if self.pk else []

    def reservations(self):
        return [line for line in self.allotment_lines.all() if not line.allotment.is_released] if self.pk else []

    def own_value(self):
        pool = self.license.pools.get(str(self.pk))
        return own_value(
            self.cif_fc,
            self.debited_value + self.allotted_value,
            self.license.balance_cif - self.license.overdrawn_cif,
            None if pool is None else Decimal(pool),
            carries_total=self.serial_number == 1 and self.license.first_carries_total,
        )


class BillOfEntry(models.Model):
    number = models.CharField(max_length=20)


class BillOfEntryLine(models.Model):
    bill_of_entry = models.ForeignKey(BillOfEntry, models.CASCADE, db_index=False)
    import_item = models.ForeignKey(ImportItem, models.CASCADE, related_name="lines")
    transaction_type = models.CharField(max_length=1, default="D")
    quantity = fields.quantity()
    cif_fc = fields.money()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bill_of_entry", "import_item", "transaction_type"], name="peers_line_once")
        ]


class Allotment(ComputedFieldsModel):
    bills_of_entry = models.ManyToManyField(BillOfEntry, related_name="allotments")

    @computed(
        models.BooleanField(default=False),
        depends=[("bills_of_entry", ["number"])],
        prefetch_related=["bills_of_entry"],
    )
    def is_released(self):
        return bool(self.pk and self.bills_of_entry.all())


class AllotmentLine(models.Model):
    allotment = models.ForeignKey(Allotment, models.CASCADE)
    import_item = models.ForeignKey(ImportItem, models.CASCADE, related_name="allotment_lines")
    quantity = fields.quantity()
    cif_fc = fields.money()


class TodayLicense(models.Model):
    license = models.OneToOneField(
        OurLicense, models.CASCADE, primary_key=True, db_constraint=False, related_name="today"
    )
    balance_cif = fields.money()
    is_null = models.BooleanField(default=True)
    is_expired = models.BooleanField(default=False)


class TodayItem(models.Model):
    item = models.OneToOneField(Item, models.CASCADE, primary_key=True, db_constraint=False, related_name="today")
    debited_quantity = fields.quantity()
    debited_value = fields.money()
    allotted_quantity = fields.quantity()
    allotted_value = fields.money()
    available_quantity = fields.quantity()
    available_value = fields.money()

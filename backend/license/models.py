"""The facts of a license. What they mean for a balance is said in docs/rules.md; what a table must keep for
other tools in docs/data-contract.md."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now

from license.fields import MONEY_MAX, PERCENTAGE_MAX, QUANTITY_MAX, dated, money, one_of, quantity, text, within


class Source(models.TextChoices):
    """Where a row of facts came from."""

    MANUAL = "manual", "typed in"
    ICEGATE = "icegate", "ICEGATE ledger"


class Company(models.Model):
    """An exporter or importer, known by its IEC (importer-exporter code: ten digits, or a PAN)."""

    iec = models.CharField("IEC", max_length=10, unique=True)
    name = text(255)

    class Meta:
        verbose_name_plural = "companies"
        constraints = [
            models.CheckConstraint(condition=Q(iec__regex=r"^[0-9A-Z]{10}$"), name="license_company_iec_well_formed")
        ]

    def __str__(self) -> str:
        return f"{self.name or 'IEC'} {self.iec}".strip()


class Port(models.Model):
    """A custom house, by its code, such as INNSA1."""

    code = models.CharField(max_length=10, unique=True)

    def __str__(self) -> str:
        return self.code


class HSCode(models.Model):
    """A heading of the customs tariff."""

    code = models.CharField("HS code", max_length=12, unique=True)

    class Meta:
        verbose_name = "HS code"

    def __str__(self) -> str:
        return self.code


class SionNorm(models.Model):
    """A standard input-output norm of an exported product: E1, E5, E126 …"""

    code = models.CharField(max_length=20, unique=True)

    class Meta:
        verbose_name = "SION norm"

    def __str__(self) -> str:
        return self.code


class ItemName(models.Model):
    """A name under which inputs are traded and restricted.

    With a norm and a percentage above 0 it is a restriction: on a license with exports of that norm, the
    inputs of that norm and percentage may together use up only that part of the license's CIF.
    """

    name = models.CharField(max_length=255, unique=True)
    sion_norm = models.ForeignKey(SionNorm, models.PROTECT, null=True, blank=True, verbose_name="SION norm")
    restriction_percentage = models.DecimalField(max_digits=5, decimal_places=2, default=0, db_default=0)

    class Meta:
        constraints = [within("restriction_percentage", PERCENTAGE_MAX)]

    def __str__(self) -> str:
        return self.name


class MatchRule(models.Model):
    """By which descriptions and HS codes an item name is recognised (license.matching): all that it says must hold.

    Several rules of a name are alternatives. A rule only proposes links; no balance depends on it.
    """

    item_name = models.ForeignKey(ItemName, models.CASCADE, related_name="match_rules", db_index=False)
    words = text(255, help_text="Whole words in any order, lower case; word* is the beginning of a word.")
    hs_prefix = text(8, help_text="Digits that the HS code begins with.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item_name", "words", "hs_prefix"], name="license_matchrule_once"),
            models.CheckConstraint(
                condition=~Q(words="") | ~Q(hs_prefix=""),
                name="license_matchrule_says_something",
                violation_error_message="A rule says something: words, the beginning of an HS code, or both.",
            ),
            models.CheckConstraint(
                condition=Q(hs_prefix__regex=r"^[0-9]*$"), name="license_matchrule_hs_prefix_digits"
            ),
        ]

    def __str__(self) -> str:
        return " and ".join(
            part for part in (self.words and f"words {self.words!r}", self.hs_prefix and f"HS {self.hs_prefix}") if part
        )


class PurchaseStatus(models.TextChoices):
    """How a license was come by. Restrictions by name do not bind a conversion."""

    GE = "GE", "GE"
    NP = "NP", "NP"
    IP = "IP", "IP"
    SM = "SM", "SM"
    OT = "OT", "OT"
    CO = "CO", "Conversion"
    RA = "RA", "RA"
    LM = "LM", "LM"


class License(models.Model):
    """A DFIA or Advance Authorisation. Its balance stands in a table of its own (`ledger.LicenseBalance`)."""

    license_number = models.CharField(max_length=20, unique=True)
    license_date = models.DateField()
    license_expiry_date = models.DateField(null=True, blank=True)
    is_expiry_presumed = models.BooleanField(default=False, db_default=False)
    scheme_code = text(5, "26")
    notification_number = text(50)
    currency = text(3, "USD")
    ledger_date = models.DateField(null=True, blank=True, help_text="The day of print of the customs ledger we hold.")
    ledger_as_of = models.DateField(
        null=True,
        blank=True,
        editable=False,
        help_text="The ledger we hold is of this day or later, printed on it or not.",
    )
    purchase_status = text(2, PurchaseStatus.GE.value, choices=PurchaseStatus.choices)
    exporter = models.ForeignKey(Company, models.PROTECT, null=True, blank=True)
    port = models.ForeignKey(Port, models.PROTECT, null=True, blank=True)
    file_number = text(50)
    registration_number = text(20)
    registration_date = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    modified_at = models.DateTimeField(auto_now=True, db_default=Now())

    class Meta:
        # one order of the list of licenses, and what expires soon
        indexes = [models.Index(fields=["license_expiry_date", "license_number"], name="license_license_by_expiry")]
        constraints = [
            one_of("purchase_status", PurchaseStatus.values),
            dated("license_date"),
            dated("license_expiry_date"),
            dated("ledger_date"),
            dated("ledger_as_of"),
            dated("registration_date"),
        ]

    def __str__(self) -> str:
        return self.license_number


class ExportItem(models.Model):
    """A line of what was exported. Its `cif_fc` is the import entitlement that the export earned."""

    license = models.ForeignKey(License, models.CASCADE, related_name="export_items", db_index=False)
    norm = models.ForeignKey(SionNorm, models.PROTECT, null=True, blank=True, verbose_name="SION norm")
    description = models.TextField(blank=True, default="", db_default="")
    net_quantity = quantity()
    fob_inr = money()
    cif_fc = money()
    cif_inr = money()
    source = text(10, Source.MANUAL.value, choices=Source.choices)

    class Meta:
        indexes = [models.Index(fields=["license"], include=["cif_fc", "norm"], name="license_exportitem_covering")]
        constraints = [
            within("net_quantity", QUANTITY_MAX),
            *(within(field, MONEY_MAX) for field in ("fob_inr", "cif_fc", "cif_inr")),
            one_of("source", Source.values),
        ]

    def __str__(self) -> str:
        return self.description or f"export item {self.pk}"


class ImportItem(models.Model):
    """A numbered line of what may be imported: a quantity, and sometimes a CIF value of its own."""

    license = models.ForeignKey(License, models.CASCADE, related_name="import_items", db_index=False)
    serial_number = models.PositiveIntegerField()
    hs_code = models.ForeignKey(HSCode, models.PROTECT, null=True, blank=True, verbose_name="HS code")
    description = models.TextField(blank=True, default="", db_default="")
    quantity = quantity()
    unit = text(20)
    cif_fc = money()
    cif_inr = money()
    restriction_percentage = models.DecimalField(
        "condition sheet percentage",
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        help_text="What the license's own condition sheet says of this item, and nothing else then counts: "
        "0 frees it, above 0 limits it. Empty: its item names decide.",
    )
    item_names = models.ManyToManyField(ItemName, blank=True, related_name="import_items")

    class Meta:
        indexes = [
            # by the words of its description (ledger/sql/found_items.sql)
            GinIndex(
                SearchVector(
                    Func(
                        F("description"),
                        Value("[^[:alnum:]]+"),
                        Value(" "),
                        Value("g"),
                        function="regexp_replace",
                        output_field=models.TextField(),
                    ),
                    config="simple",
                ),
                name="license_importitem_words",
            )
        ]
        constraints = [
            # also the index by which the items of a license are found
            models.UniqueConstraint(fields=["license", "serial_number"], name="license_importitem_serial_number"),
            models.CheckConstraint(condition=Q(serial_number__gte=1), name="license_importitem_serial_number_counts"),
            within("quantity", QUANTITY_MAX),
            within("cif_fc", MONEY_MAX),
            within("cif_inr", MONEY_MAX),
            within("restriction_percentage", PERCENTAGE_MAX),
        ]

    def __str__(self) -> str:
        return f"item {self.serial_number}"

"""Movements on licenses, the outbox of their changes, and the balances derived from them.

Facts (`BillOfEntry` … `AllotmentLine`, and all of `license.models`) are written by people and files. Every write
leaves a `LicenseChange` (capture.py); the engine (engine.py) turns changes into balances. No foreign key, cascade
or row lock runs between facts and balances: writers and the engine never wait for each other
(docs/decisions/0002-facts-and-balances-apart.md).
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Now

from ledger.balance_guard import guard_trail, guard_trigger, guard_triggers
from ledger.fields import ClockTimestamp, CurrentTransactionId, TransactionIdField
from license.clock import INDIA
from license.fields import MONEY_MAX, QUANTITY_MAX, dated, money, one_of, quantity, text, within
from license.formats import day, indian
from license.models import Company, ImportItem, License, Port, Source


class BillOfEntry(models.Model):
    """The customs declaration of an actual import; its lines debit import items."""

    number = models.CharField(max_length=20)
    date = models.DateField(null=True, blank=True)
    port = models.ForeignKey(Port, models.PROTECT, null=True, blank=True)
    company = models.ForeignKey(Company, models.PROTECT, null=True, blank=True)
    exchange_rate = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)

    class Meta:
        verbose_name_plural = "bills of entry"
        indexes = [
            # by which a ledger's bill is found: spreadsheets eat leading zeros
            models.Index(
                Func(F("number"), Value("0"), function="ltrim"), F("date"), name="ledger_billofentry_bare_number"
            )
        ]
        constraints = [
            dated("date"),
            models.UniqueConstraint(
                fields=["number", "date", "port"], nulls_distinct=False, name="ledger_billofentry_number_date_port"
            ),
            models.CheckConstraint(
                condition=Q(exchange_rate__range=(0, "99999999.9999")), name="ledger_billofentry_exchange_rate_within"
            ),
        ]

    def __str__(self) -> str:
        return f"BE {self.number}" + (f" of {self.date:%d %b %Y}" if self.date else "")


class TransactionType(models.TextChoices):
    """Whether a line of a bill of entry counts (`D`) or is there to be seen (`C`)."""

    DEBIT = "D", "Debit"
    CREDIT = "C", "Credit"


UNCONFIRMED = Q(source=Source.MANUAL) | Q(disputed_since__isnull=False)
"""Of a line of a bill of entry: the newest ledger does not show it, or none has shown it yet."""


class BillOfEntryLine(models.Model):
    """What one bill of entry took from one import item (`D`). Lines of type `C` count nowhere."""

    bill_of_entry = models.ForeignKey(BillOfEntry, models.CASCADE, related_name="lines", db_index=False)
    import_item = models.ForeignKey(ImportItem, models.CASCADE, related_name="bill_of_entry_lines", db_index=False)
    transaction_type = text(1, TransactionType.DEBIT.value, choices=TransactionType.choices)
    quantity = quantity()
    cif_fc = money()
    cif_inr = money()
    source = text(10, Source.MANUAL.value, choices=Source.choices)
    disputed_since = models.DateField(
        null=True, blank=True, help_text="Date of the customs ledger that first did not show this line any more."
    )
    entered_at = models.DateTimeField(
        null=True, db_default=Now(), editable=False, help_text="Empty: before this was kept."
    )

    class Meta:
        indexes = [
            # the engine reads the lines of an import item from this index alone
            models.Index(
                fields=["import_item"],
                include=["transaction_type", "quantity", "cif_fc"],
                name="ledger_boeline_covering",
            ),
            # what the newest ledger of customs does not confirm (sql/unconfirmed_debits.sql)
            models.Index(
                fields=["import_item"],
                condition=UNCONFIRMED,
                name="ledger_boeline_unconfirmed",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["bill_of_entry", "import_item", "transaction_type"], name="ledger_billofentryline_once"
            ),
            within("quantity", QUANTITY_MAX),
            within("cif_fc", MONEY_MAX),
            within("cif_inr", MONEY_MAX),
            dated("disputed_since"),
            one_of("transaction_type", TransactionType.values),
            one_of("source", Source.values),
        ]

    def __str__(self) -> str:
        return f"{self.get_transaction_type_display()} of {indian(self.cif_fc)}"


class AllotmentType(models.TextChoices):
    """Whether the goods are to come in by a bill of entry, or are bought at home."""

    ALLOTMENT = "AT", "Allotment"
    ARO = "ARO", "ARO"


class Allotment(models.Model):
    """A promise of part of a license to a company. It reserves until it is linked to a bill of entry, or given up
    (`AllotmentRelease`).

    An `ARO` (advance release order: the input is bought at home) never gets one.
    """

    company = models.ForeignKey(Company, models.PROTECT)
    type = text(3, AllotmentType.ALLOTMENT.value, choices=AllotmentType.choices)
    item_name = text(255)
    required_quantity = quantity()
    unit_price = models.DecimalField(max_digits=15, decimal_places=3, null=True, blank=True)
    estimated_arrival_date = models.DateField(null=True, blank=True)
    last_day = models.DateField(
        null=True, blank=True, help_text="The last on which it reserves; the night after it gives it up."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    bills_of_entry = models.ManyToManyField(BillOfEntry, blank=True, related_name="allotments")

    class Meta:
        permissions = [("overdraw_allotment", "Can allot more than a license has left")]
        constraints = [
            within("required_quantity", QUANTITY_MAX),
            dated("estimated_arrival_date"),
            dated("last_day"),
            within("unit_price", QUANTITY_MAX),
            one_of("type", AllotmentType.values),
        ]

    def __str__(self) -> str:
        return f"{self.get_type_display()} {self.pk}"


class AllotmentRelease(models.Model):
    """An allotment is given up: it reserves nothing any more, though no bill of entry has taken its place."""

    allotment = models.OneToOneField(Allotment, models.CASCADE, related_name="release")
    released_at = models.DateTimeField(db_default=Now())
    released_by = text(150, help_text="User name; empty: the night, since its last day had passed.")

    def __str__(self) -> str:
        return f"{self.allotment}, given up"

    def when_and_why(self) -> str:
        """On 30 Nov 2026 by meera; without a name, since its last day had passed."""
        on = f"on {day(self.released_at.astimezone(INDIA).date())}"
        return f"{on} by {self.released_by}" if self.released_by else f"{on}, its last day had passed"


class AllotmentLine(models.Model):
    """What one allotment reserves on one import item."""

    allotment = models.ForeignKey(Allotment, models.CASCADE, related_name="lines", db_index=False)
    import_item = models.ForeignKey(ImportItem, models.CASCADE, related_name="allotment_lines", db_index=False)
    quantity = quantity()
    cif_fc = money()
    cif_inr = money()

    class Meta:
        indexes = [
            # the engine reads the lines of an import item from this index alone
            models.Index(
                fields=["import_item"], include=["allotment", "quantity", "cif_fc"], name="ledger_allotline_covering"
            )
        ]
        constraints = [
            models.UniqueConstraint(fields=["allotment", "import_item"], name="ledger_allotmentline_once"),
            within("quantity", QUANTITY_MAX),
            within("cif_fc", MONEY_MAX),
            within("cif_inr", MONEY_MAX),
        ]

    def __str__(self) -> str:
        return f"{indian(self.cif_fc)} of {self.allotment}"


class Overdraw(models.Model):
    """Somebody has entered what overdraws a license, though told so. Written with the entry, and never changed."""

    license = models.ForeignKey(License, models.DO_NOTHING, db_constraint=False, related_name="overdraws")
    entry = text(100, help_text="The document: Allotment 12.")
    sentence = models.TextField(help_text="What was overdrawn, with the numbers that were confirmed.")
    confirmed_by = models.CharField(max_length=150, help_text="User name.")
    confirmed_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.sentence


class CustomsBalance(models.Model):
    """What the newest ledger that we hold of a license says customs has left: a third witness beside facts and
    balances. Written by the loader, with the ledger."""

    license = models.OneToOneField(
        License, models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="customs_balance"
    )
    as_of = models.DateField(help_text="The ledger is of this day or later.")
    cif_fc = models.DecimalField(max_digits=15, decimal_places=2, help_text="CIF-FC: what customs lets be imported.")
    debited_cif_fc = models.DecimalField(max_digits=15, decimal_places=2, help_text="The sum of its debits.")
    balance_cif_fc = models.DecimalField(
        max_digits=15, decimal_places=2, null=True, help_text="Bal.CIF-FC; empty: the ledger has no such line."
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.balance_cif_fc} left on {self.as_of}"


class MismatchKind(models.TextChoices):
    """How customs' ledgers and ours can differ (ledger.customs)."""

    UNCONVERTED = "unconverted", "Allotments that a debit has probably used up"
    DISPUTED = "disputed", "Debits that customs’ ledger does not show"
    TWIN = "twin", "Bills of entry that are probably one"
    IMBALANCE = "imbalance", "Balances that differ from customs’ own"


class Settlement(models.Model):
    """Somebody has settled a mismatch of customs' ledger and ours. Written with what that changes, and never changed.

    One that changes no fact (`is_kept`) keeps the mismatch from being shown: as long as its figures are the same, and,
    with a `ledger_as_of`, until the license has a newer ledger than that.
    """

    kind = text(20, choices=MismatchKind.choices)
    license = models.ForeignKey(License, models.DO_NOTHING, db_constraint=False, related_name="settlements")
    subject_id = models.BigIntegerField(help_text="Of the allotment, line, bill or license, by kind.")
    other_id = models.BigIntegerField(null=True, help_text="The bill that it is not used by, or not one with.")
    is_kept = models.BooleanField(help_text="Nothing was changed: it is as it should be.")
    figures = text(100, help_text="What was seen; others are a mismatch anew.")
    ledger_as_of = models.DateField(null=True, help_text="Only until there is a newer ledger than this.")
    sentence = models.TextField(help_text="What it was, and what was done.")
    reason = text(255, help_text="Of whoever settled it.")
    settled_by = models.CharField(max_length=150, help_text="User name.")
    settled_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view", "add")
        indexes = [models.Index(fields=["kind", "subject_id"], name="ledger_settlement_subject")]
        constraints = [one_of("kind", MismatchKind.values)]

    def __str__(self) -> str:
        return self.sentence


class Allotting(models.Model):
    """One time that somebody has allotted from a proposal. Its key came with the form: sent again, that allots nothing
    more. Written with the lines, and never changed."""

    key = models.UUIDField(primary_key=True)
    allotment = models.ForeignKey(Allotment, models.DO_NOTHING, db_constraint=False, related_name="allottings")
    allotted_by = models.CharField(max_length=150, help_text="User name.")
    allotted_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.allotment_id} by {self.allotted_by}"


class LicenseChange(models.Model):
    """The outbox: one row says that something which a balance depends on changed, and where.

    It holds only what stood in the changed row, one of the four ids; which licenses that means is decided when it is
    worked off (sql/resolve_changes.sql). All four null: every license. Rows are only ever inserted, by triggers, and
    deleted by the engine in the transaction that writes the balances. No foreign keys: a deleted license has a change.
    """

    license_id = models.BigIntegerField(null=True)
    import_item_id = models.BigIntegerField(null=True)
    allotment_id = models.BigIntegerField(null=True)
    item_name_id = models.BigIntegerField(null=True)
    source = models.TextField(help_text="The table that was written.")
    operation = models.TextField(help_text="INSERT, UPDATE, DELETE or TRUNCATE.")
    transaction_id = TransactionIdField(db_default=CurrentTransactionId())
    created_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.operation} on {self.source}"


class LicenseBalance(models.Model):
    """What a license has left (docs/rules.md). Written by the engine alone; the database refuses everybody else."""

    license = models.OneToOneField(
        License, models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="balance"
    )
    credit_cif = models.DecimalField(max_digits=15, decimal_places=2)
    debited_cif = models.DecimalField(max_digits=15, decimal_places=2)
    allotted_cif = models.DecimalField(max_digits=15, decimal_places=2)
    balance_cif = models.DecimalField(max_digits=15, decimal_places=2)
    overdrawn_cif = models.DecimalField(max_digits=15, decimal_places=2)
    is_null = models.BooleanField()
    is_expired = models.BooleanField()
    computed_at = models.DateTimeField()
    computed_xid = TransactionIdField(help_text="Transactions from this id on had not been seen when it was computed.")
    rule_version = models.PositiveSmallIntegerField()
    seal = models.UUIDField(help_text="Digest of the row as the engine wrote it: tells an edit by hand.")

    class Meta:
        default_permissions = ("view",)
        triggers = guard_triggers()

    def __str__(self) -> str:
        return f"{self.balance_cif} left"


class ImportItemBalance(models.Model):
    """What an import item has left (docs/rules.md). Written by the engine alone.

    The license is part of the key: with the item alone, an item that moves to another license while two engines
    run ends without a row. Join on both.
    """

    pk = models.CompositePrimaryKey("license_id", "import_item_id")
    license = models.ForeignKey(
        License, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="import_item_balances"
    )
    import_item = models.ForeignKey(
        ImportItem, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="balances"
    )
    debited_quantity = models.DecimalField(max_digits=15, decimal_places=3)
    debited_value = models.DecimalField(max_digits=15, decimal_places=2)
    allotted_quantity = models.DecimalField(max_digits=15, decimal_places=3)
    allotted_value = models.DecimalField(max_digits=15, decimal_places=2)
    available_quantity = models.DecimalField(max_digits=15, decimal_places=3)
    overdrawn_quantity = models.DecimalField(max_digits=15, decimal_places=3)
    available_value = models.DecimalField(max_digits=15, decimal_places=2)
    overdrawn_value = models.DecimalField(max_digits=15, decimal_places=2)
    seal = models.UUIDField(help_text="Digest of the row as the engine wrote it: tells an edit by hand.")

    class Meta:
        default_permissions = ("view",)
        triggers = guard_triggers()

    def __str__(self) -> str:
        return f"{self.available_quantity} for {self.available_value}"


class BalanceHistory(models.Model):
    """One recompute that changed a balance of a license, or of one of its import items: from what, to what, and why.

    Written by the engine in the transaction that writes the balances; only its place in the feed is given later
    (ledger/feed.py). The newest row of a license has what its `LicenseBalance` has, but for an edit by hand.
    `history.prune` deletes old ones.
    """

    license_id = models.BigIntegerField()
    changed_at = models.DateTimeField(help_text="By the clock, as the balance was written.")
    sources = ArrayField(
        models.TextField(),
        help_text="Tables whose writes asked for it, ledger_quarantine for a retry; "
        "empty: nothing pending did, so the night or somebody by hand.",
    )
    first_change_at = models.DateTimeField(null=True, help_text="When the oldest of those writes was made.")
    credit_cif = models.DecimalField(max_digits=15, decimal_places=2, null=True)
    debited_cif = models.DecimalField(max_digits=15, decimal_places=2, null=True)
    allotted_cif = models.DecimalField(max_digits=15, decimal_places=2, null=True)
    balance_cif = models.DecimalField(
        max_digits=15, decimal_places=2, null=True, help_text="Null: the license is gone."
    )
    overdrawn_cif = models.DecimalField(max_digits=15, decimal_places=2, null=True)
    is_null = models.BooleanField(null=True)
    is_expired = models.BooleanField(null=True)
    previous_balance_cif = models.DecimalField(
        max_digits=15, decimal_places=2, null=True, help_text="Null: there was no balance."
    )
    previous_overdrawn_cif = models.DecimalField(max_digits=15, decimal_places=2, null=True)
    was_null = models.BooleanField(null=True)
    was_expired = models.BooleanField(null=True)
    position = models.BigIntegerField(
        null=True, help_text="In the feed (ledger/feed.py). Null: none yet; 0: older than the feed."
    )

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "balance history"
        indexes = [
            models.Index(fields=["license_id", "id"], name="ledger_history_license"),
            BrinIndex(fields=["changed_at"], autosummarize=True, name="ledger_history_changed_at"),
            models.Index(fields=["id"], condition=Q(position=None), name="ledger_history_unpublished"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["position"], condition=Q(position__gt=0), name="ledger_history_position")
        ]
        triggers = [guard_trigger()]

    def __str__(self) -> str:
        return f"{self.previous_balance_cif} → {self.balance_cif}"


class TrailStatement(models.Model):
    """One statement that wrote rows of a fact table: who, when, by which program. Written by triggers, in the
    transaction of the write (ledger/trail.py); never changed."""

    table_name = models.TextField()
    operation = models.TextField(help_text="INSERT, UPDATE, DELETE or TRUNCATE.")
    row_count = models.BigIntegerField(help_text="How many entries it has.")
    transaction_id = TransactionIdField(db_default=CurrentTransactionId())
    written_at = models.DateTimeField(db_default=ClockTimestamp(), help_text="By the clock.")
    user_name = models.TextField(help_text="Who had logged in; empty: nobody, it was a program or plain SQL.")
    via = models.TextField(help_text="Page, command or task; empty: it was none of ours.")
    role = models.TextField(help_text="The database role that had logged in.")
    application = models.TextField(help_text="As the client calls itself.")
    address = models.TextField(null=True, help_text="Of the client; null: a local socket.")  # noqa: DJ001
    statement = models.TextField(help_text="How it begins.")

    class Meta:
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["written_at"], name="ledger_trail_written_at"),
            models.Index(fields=["user_name", "id"], name="ledger_trail_user"),
        ]
        triggers = guard_trail()

    def __str__(self) -> str:
        return f"{self.operation} on {self.table_name} by {self.user_name or self.role}"


class TrailEntry(models.Model):
    """A row of a fact table, as it was before a statement and as it was after it."""

    statement = models.ForeignKey(TrailStatement, models.DO_NOTHING, db_constraint=False, related_name="entries")
    table_name = models.TextField()
    owner_id = models.BigIntegerField(help_text="Of what the row belongs to (ledger.trail.TRACKED), or of the row.")
    row_id = models.BigIntegerField()
    before = models.JSONField(null=True, help_text="Null: it was not there, or was another owner's.")
    after = models.JSONField(null=True, help_text="Null: it is not there any more, or is another owner's.")

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["table_name", "owner_id", "id"], name="ledger_trail_owner"),
            # by the numbers that licenses had
            models.Index(
                KeyTextTransform("license_number", "before"),
                condition=Q(table_name="license_license"),
                name="ledger_trail_license_number",
            ),
            # those that are gone
            models.Index(
                fields=["owner_id"],
                condition=Q(table_name="license_license", after__isnull=True),
                name="ledger_trail_license_gone",
            ),
        ]
        triggers = guard_trail()

    def __str__(self) -> str:
        return f"{self.table_name} {self.row_id}"


class Quarantine(models.Model):
    """A license whose recompute failed by itself. Its balance is older than its facts until it succeeds.

    The row takes the place of the change that could not be worked off: it is deleted only in the transaction that
    writes the license's balance.
    """

    license_id = models.BigIntegerField(primary_key=True)
    error = models.TextField()
    attempts = models.PositiveIntegerField(db_default=1)
    first_failed_at = models.DateTimeField(db_default=Now())
    next_try_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "quarantine"

    def __str__(self) -> str:
        return f"license {self.license_id}: {self.error}"


class Failure(models.Model):
    """A recompute of one license that failed by itself, until it is counted (ledger/tally.py)."""

    license_id = models.BigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"license {self.license_id}"


class Tally(models.Model):
    """What the engine has done since it is counted: one row, which ledger/tally.py keeps. What its position and the
    table of failures say is not in it yet comes on top."""

    position = models.BigIntegerField(help_text="Of the feed: history up to this is in it.")
    for_changes = models.BigIntegerField(help_text="Recomputes that changed a balance, because of a change.")
    for_retries = models.BigIntegerField(help_text="The same, of what had been in quarantine.")
    for_night = models.BigIntegerField(help_text="The same, with nothing pending: by a night, or by hand.")
    failures = models.BigIntegerField(help_text="Recomputes of one license that failed by themselves.")
    latency_counts = ArrayField(
        models.BigIntegerField(), help_text="Of those for changes, how many by ledger.tally.BOUNDS, and more."
    )
    latency_seconds = models.DecimalField(max_digits=30, decimal_places=6, help_text="Of all of them together.")
    counted_at = models.DateTimeField(help_text="By the clock.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"up to {self.position}"


class UploadState(models.TextChoices):
    """How an upload stands. `PREVIEW` and `LOAD` are a worker's, `PREVIEWED` is somebody's to decide."""

    PREVIEW = "preview", "to be read"
    PREVIEWED = "previewed", "to be confirmed"
    LOAD = "load", "to be loaded"
    LOADED = "loaded", "loaded"
    REJECTED = "rejected", "rejected"
    FAILED = "failed", "failed"


class Upload(models.Model):
    """Ledgers of customs that somebody has uploaded: previewed, then loaded or not (ledger/uploads.py)."""

    form = models.UUIDField(unique=True, help_text="Of the page from which it came: sent twice, it is one upload.")
    uploaded_by = models.CharField(max_length=150, help_text="User name.")
    uploaded_at = models.DateTimeField(db_default=Now())
    state = text(10, UploadState.PREVIEW.value, choices=UploadState.choices)
    is_forced = models.BooleanField(
        default=False, db_default=False, help_text="Licenses too whose debits do not fit customs' own balance."
    )
    ledger_date = models.DateField(null=True, help_text="The day of print of the files that do not say it.")
    decided_by = text(150, help_text="Who confirmed or rejected it; empty: nobody.")
    asked_at = models.DateTimeField(db_default=Now(), help_text="When a worker was last wanted for it.")
    lease = models.UUIDField(null=True, help_text="Whose it is that is at it, or that made the preview.")
    leased_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    percent_done = models.PositiveSmallIntegerField(default=0, db_default=0)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(default="", db_default="", help_text="Why the last attempt, or all of it, failed.")

    class Meta:
        default_permissions = ("view", "add")
        indexes = [models.Index(fields=["id"], condition=Q(state__in=("preview", "load")), name="ledger_upload_open")]
        constraints = [one_of("state", UploadState.values), dated("ledger_date")]

    def __str__(self) -> str:
        return f"upload {self.pk}"


class UploadFile(models.Model):
    """One file of an upload."""

    upload = models.ForeignKey(Upload, models.CASCADE, related_name="files")
    name = models.CharField(max_length=255, help_text="As whoever uploaded it called it.")
    size = models.PositiveIntegerField(help_text="Bytes.")
    content = models.BinaryField(null=True, help_text="Null: deleted, some days after the upload.")
    unreadable = models.PositiveIntegerField(default=0, db_default=0, help_text="How many licenses have a problem.")
    problem_count = models.PositiveIntegerField(default=0, db_default=0)
    problems = models.JSONField(
        default=list, db_default=Value([], models.JSONField()), help_text="The first ones: where, and what to do."
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class UploadedLicense(models.Model):
    """What a file would do to a license, or has done. What it has done is written in the transaction that does it."""

    file = models.ForeignKey(UploadFile, models.CASCADE, related_name="licenses", db_index=False)
    is_loaded = models.BooleanField(help_text="False: as previewed.")
    license_number = models.CharField(max_length=20)
    line = models.PositiveIntegerField(help_text="Where it begins in the file.")
    status = models.CharField(max_length=10, help_text="created, updated, unchanged, older, refused.")
    notes = models.JSONField(help_text="Sentences for people.")
    counts = models.JSONField(help_text="How many changes of each kind: debit new, debit disputed …")
    changes = models.JSONField(help_text="Each: what it is, and what its fields were and are, as text.")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["file", "is_loaded", "license_number"], name="ledger_uploadedlicense_once")
        ]

    def __str__(self) -> str:
        return f"{self.license_number}: {self.status}"


import ledger.capture  # noqa: E402  declares its triggers, on proxies of the models above
import ledger.trail  # noqa: E402, F401  likewise

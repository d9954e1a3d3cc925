"""The nights, and what they found. Their records are the truth about a run; Celery only carries hints to work on it."""

from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now

from license.fields import one_of, text
from reconcile.evidence import words


class RunTrigger(models.TextChoices):
    """What started a run."""

    NIGHT = "night", "the night"
    MANUAL = "manual", "by hand"


class RunStatus(models.TextChoices):
    """How a run stands. It is not over while a chunk of it is open."""

    RUNNING = "running", "running"
    COMPLETE = "complete", "complete"
    INCOMPLETE = "incomplete", "incomplete: a chunk failed for good"


class ReconciliationRun(models.Model):
    """One reconciliation of every license. The night has one for each business date, and two never run at once."""

    business_date = models.DateField(help_text="The date in India on which it began.")
    trigger = text(10, RunTrigger.MANUAL.value, choices=RunTrigger.choices)
    status = text(10, RunStatus.RUNNING.value, choices=RunStatus.choices)
    is_without_items = models.BooleanField(default=False, db_default=False, help_text="Item drift is not repaired.")
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    licenses_checked = models.PositiveIntegerField(default=0, db_default=0)
    licenses_drifted = models.PositiveIntegerField(default=0, db_default=0)
    licenses_expired = models.PositiveIntegerField(default=0, db_default=0)
    licenses_repaired = models.PositiveIntegerField(default=0, db_default=0)
    licenses_quarantined = models.PositiveIntegerField(default=0, db_default=0)
    drift_counts = models.JSONField(
        default=dict, db_default=Value({}, models.JSONField()), help_text="How many drifted fields of each cause."
    )
    trigger_faults = models.JSONField(default=list, help_text="What was wrong with triggers when it began.")
    finding_counts = models.JSONField(
        default=dict, db_default=Value({}, models.JSONField()), help_text="How many findings of each kind."
    )
    findings_error = models.TextField(default="", db_default="", help_text="Why its findings are not there.")
    mail_error = models.TextField(default="", db_default="", help_text="Why its report is not mailed.")
    mail_begun_at = models.DateTimeField(
        null=True, help_text="Somebody is mailing its report since then, or died of it."
    )
    mailed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view", "add")
        constraints = [
            models.UniqueConstraint(
                fields=["business_date"], condition=Q(trigger="night"), name="reconcile_one_night_a_day"
            ),
            models.UniqueConstraint(fields=["status"], condition=Q(status="running"), name="reconcile_one_at_a_time"),
            one_of("trigger", RunTrigger.values),
            one_of("status", RunStatus.values),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.business_date}"


class Backup(models.Model):
    """A file with all of the database, as `manage.py backup` has made it (docs/drills.md)."""

    began_at = models.DateTimeField(help_text="What was committed by then is in it.")
    finished_at = models.DateTimeField(db_default=Now())
    size_bytes = models.BigIntegerField()
    file = models.TextField(help_text="Where it was put, on the machine that made it.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.file


class FindingKind(models.TextChoices):
    """What a run leaves for people to look at, in the order in which they should. docs/night.md says more of each."""

    OVERDRAWN = "overdrawn", "Overdrawn"
    RESTRICTION_OVERUSED = "restriction overused", "Restrictions overused"
    QUARANTINED = "quarantined", "In quarantine"
    UNCONVERTED = "unconverted", "Allotments that a debit has probably used up"
    DISPUTED = "disputed", "Debits that the newest ledger does not show"
    TWIN = "twin", "Bills of entry that are probably one"
    IMBALANCE = "imbalance", "Balances that differ from customs’ own"
    RELEASED = "released without a debit", "Allotments released by a bill of entry without a line for them"
    GIVEN_UP = "allotment given up", "Allotments given up since the last night"
    EXPIRED = "expired", "Expired since the last night"
    EXPIRING = "expiring", "Expiring with balance left"
    NEWLY_NULL = "newly null", "Null since the last night"
    NORM_UNKNOWN = "norm unknown", "Norm unknown: restrictions by name cannot be applied"


class Finding(models.Model):
    """One thing about a license that a run found worth a person's look. It is no drift: the balance is right."""

    run = models.ForeignKey(ReconciliationRun, models.CASCADE, related_name="findings", db_index=False)
    kind = text(30, choices=FindingKind.choices)
    license_id = models.BigIntegerField()
    license_number = text(20)
    serial_number = models.PositiveIntegerField(null=True)
    currency = text(3)
    expiry_date = models.DateField(null=True)
    amount = models.DecimalField(max_digits=40, decimal_places=2, null=True, help_text="What it is about, in currency.")
    quantity = models.DecimalField(max_digits=40, decimal_places=3, null=True)
    details = models.JSONField(help_text="What else there is to say, by kind; numbers are text.")

    class Meta:
        default_permissions = ("view",)
        indexes = [models.Index(fields=["run", "kind"], name="reconcile_finding_of_run")]
        constraints = [one_of("kind", FindingKind.values)]

    def __str__(self) -> str:
        return f"{self.license_number}: {self.kind}"


class ReconciliationChunk(models.Model):
    """A range of license ids that somebody audits and repairs, with a lease: one who dies leaves it to the next."""

    run = models.ForeignKey(ReconciliationRun, models.CASCADE, related_name="chunks")
    first_license_id = models.BigIntegerField()
    last_license_id = models.BigIntegerField()
    leased_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(default="", db_default="", help_text="Of its last attempt.")

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["run", "attempts", "id"], condition=Q(finished_at=None), name="reconcile_chunk_open"),
        ]

    def __str__(self) -> str:
        return f"licenses {self.first_license_id} to {self.last_license_id} of {self.run_id}"


class Drift(models.Model):
    """One field of one balance that was not what the facts say, as the run found it (docs/drift.md)."""

    run = models.ForeignKey(ReconciliationRun, models.CASCADE, related_name="drift")
    chunk = models.ForeignKey(ReconciliationChunk, models.CASCADE, related_name="drift")
    license_id = models.BigIntegerField()
    import_item_id = models.BigIntegerField(null=True, help_text="Null: of the license's own balance.")
    license_number = text(20)
    serial_number = models.PositiveIntegerField(null=True)
    field = models.TextField()
    stored = models.TextField()
    expected = models.TextField()
    cause = models.TextField()
    evidence = models.JSONField(
        default=dict, db_default=Value({}, models.JSONField()), help_text="What the trail tells of it (docs/drift.md)."
    )
    repaired = models.BooleanField(default=False, db_default=False)

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "drift"

    def __str__(self) -> str:
        return f"{self.license_number} {self.field}: {self.stored}, expected {self.expected}"

    @property
    def told(self) -> str:
        """The evidence in words of one line."""
        return words(self.evidence)

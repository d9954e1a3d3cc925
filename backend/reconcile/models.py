"""The nights, and what they found. Their records are the truth about a run; Celery only carries hints to work on it."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from license.fields import one_of, text


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
    trigger_faults = models.JSONField(default=list, help_text="What was wrong with triggers when it began.")

    class Meta:
        default_permissions = ("view",)
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
            models.Index(fields=["run", "id"], condition=Q(finished_at=None), name="reconcile_chunk_open"),
        ]

    def __str__(self) -> str:
        return f"licenses {self.first_license_id} to {self.last_license_id} of {self.run_id}"


class Drift(models.Model):
    """One field of one balance that was not what the facts say, as the run found it (docs/drift.md)."""

    run = models.ForeignKey(ReconciliationRun, models.CASCADE, related_name="drift")
    chunk = models.ForeignKey(ReconciliationChunk, models.CASCADE, related_name="drift")
    license_id = models.BigIntegerField()
    license_number = text(20)
    serial_number = models.PositiveIntegerField(null=True)
    field = models.TextField()
    stored = models.TextField()
    expected = models.TextField()
    cause = models.TextField()
    repaired = models.BooleanField(default=False, db_default=False)

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "drift"

    def __str__(self) -> str:
        return f"{self.license_number} {self.field}: {self.stored}, expected {self.expected}"

"""Whether balances follow their facts, nights happen, and who follows us is told."""

import json
from collections.abc import Iterator
from datetime import timedelta

from api.models import Webhook, WebhookState
from api.webhooks import with_standing
from doctor.examination import Finding, Level, Part, check
from doctor.sql import queries
from reconcile.audit import NO_DRIFT, Cause
from reconcile.models import RunStatus
from reconcile.sql import queries as reconcile_queries

MOST_PENDING = timedelta(minutes=1)
LONGEST_NIGHT = timedelta(hours=2)
EXPLAINED = (*NO_DRIFT, Cause.MISSED_EXPIRY, Cause.QUARANTINED, Cause.OLDER_RULES)
"""Causes of which nobody need be told: the alert DriftFound is of the same others."""


@check(Part.BALANCES, "docs/reliability.md")
def changes_are_worked_off() -> Iterator[Finding]:
    """Within a blink, if all is well."""
    [row] = reconcile_queries.dicts("freshness")
    if row["oldest_age"] is not None and row["oldest_age"] > MOST_PENDING:
        age = str(row["oldest_age"]).partition(".")[0]
        yield Finding(
            f"{row['pending']:,} changes are pending, the oldest for {age}: balances are older than their facts",
            "Is a worker up? manage.py drain_changes works them off at once, without one",
        )


@check(Part.BALANCES, "docs/reliability.md")
def quarantine_is_empty() -> Iterator[Finding]:
    """Licenses that cannot be recomputed."""
    [row] = reconcile_queries.dicts("freshness")
    if count := row["quarantined"]:
        are = "1 license is" if count == 1 else f"{count:,} licenses are"
        yield Finding(
            f"{are} in quarantine: balances that cannot be computed are older than their facts",
            "manage.py quarantine says why of each; correct its facts, then manage.py quarantine --retry",
        )


@check(Part.BALANCES, "docs/architecture.md#processes")
def relay_is_up() -> Iterator[Finding]:
    """It holds a lock for as long as it is connected."""
    [row] = reconcile_queries.dicts("freshness")
    if not row["relays"]:
        yield Finding(
            "No relay is up: raw SQL and bulk writes wait for the sweep, some seconds",
            "systemctl start license-relay",
            Level.NOTE,
        )


@check(Part.BALANCES, "docs/celery.md#the-night-licensetaskssync_all_licenses")
def last_night_is_of_today_and_complete() -> Iterator[Finding]:
    """By PostgreSQL's clock; just after midnight it may not have begun."""
    rows = queries.dicts("last_night", longest=LONGEST_NIGHT)
    if not rows:
        yield Finding(
            "No night has been yet: nothing has proven the balances",
            "Beat begins one within five minutes; or run manage.py sync_licenses",
        )
        return
    [night] = rows
    of = f"The night of {night['business_date']:%d %b %Y}"
    if night["is_owed"]:
        yield Finding(
            f"{of} was the last one: today's has not begun",
            "Is beat up, and a worker that consumes reconcile? They make it up within five minutes",
        )
    elif night["status"] == RunStatus.INCOMPLETE:
        yield Finding(
            f"{of} is incomplete: a part of the licenses could not be looked at",
            "The worker's log says why; mend that, then run manage.py sync_licenses",
        )
    elif night["is_late"]:
        yield Finding(
            f"{of} has been running for {night['age']}",
            "Is a worker up that consumes reconcile? manage.py sync_licenses takes part in it",
        )
    drift = sorted(json.loads(night["drift_counts"]).items())
    if causes := ", ".join(f"{cause}: {count}" for cause, count in drift if cause not in EXPLAINED):
        yield Finding(
            f"{of} found numbers that were not what the facts say ({causes})",
            "manage.py night_report says which; docs/drift.md what each cause means, and what to do",
            Level.NOTE,
        )
    if night["findings_error"]:
        yield Finding(f"{of} could not write down what it found", "The worker's log says why; the next one tries again")
    if night["mail_error"]:
        yield Finding(
            f"The report of {of[4:]} could not be mailed: {' '.join(night['mail_error'].split())}",
            "Correct EMAIL_URL or the mail server: for a day it is tried again every five minutes",
        )


@check(Part.BALANCES, "docs/api.md#following-balances")
def webhooks_are_sent() -> Iterator[Finding]:
    """One that has failed for five days is stopped."""
    asked = ("pk", "name", "answer")  # not its secret, which is for those who sign
    for key, name, answer in Webhook.objects.filter(state=WebhookState.STOPPED).order_by("pk").values_list(*asked):
        yield Finding(
            f"Webhook {key} ({name or 'nameless'}) is stopped, since it failed for days: {answer}",
            f"Mend its receiver, then run manage.py webhooks resume {key}; nothing is lost",
        )
    failing = Webhook.objects.filter(state=WebhookState.ACTIVE, failing_since__isnull=False)
    for key, name, answer in failing.order_by("pk").values_list(*asked):
        yield Finding(
            f"Webhook {key} ({name or 'nameless'}) fails, and is tried again: {answer}",
            "Mend its receiver; after five days it is stopped",
            Level.NOTE,
        )
    held = with_standing(Webhook.objects.filter(state=WebhookState.ACTIVE)).filter(is_held=True)
    for key, name, user in held.order_by("pk").values_list("pk", "name", "user__username"):
        yield Finding(
            f"Webhook {key} ({name or 'nameless'}) is sent nothing: {user} may not log in or not follow balances",
            "Give the account back what it may, or delete the webhook",
            Level.NOTE,
        )

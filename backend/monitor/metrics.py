"""The metrics, read at each scrape from PostgreSQL and the broker: every process tells the same, and forgets nothing
when it ends. docs/monitoring.md lists them."""

import json
import logging
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import accumulate

from django.db import Error, transaction
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api.models import WebhookState
from ledger import tally
from monitor import broker, health
from monitor.sql import queries
from reconcile import backup
from reconcile.audit import NO_DRIFT, Cause
from reconcile.guard import trigger_faults
from reconcile.models import RunStatus, RunTrigger

logger = logging.getLogger(__name__)

PREFIX = "lbe_"


class Everything(Collector):
    """What there is to tell now. Where the database or the broker is away, the rest, and that it is away."""

    def collect(self) -> Iterator[Metric]:
        """Of the database all is of one snapshot, or nothing."""
        of_database = _of_database()
        of_broker = _of_broker()
        is_there = {"database": of_database is not None, "broker": of_broker is not None}
        yield _gauge("up", "Whether it answers: 1, or 0.", "part", is_there)
        yield from of_database or ()
        yield from of_broker or ()


REGISTRY = CollectorRegistry()
REGISTRY.register(Everything())


def _of_database() -> list[Metric] | None:
    if not health.is_database_there():  # the connection that is kept would hang for long
        return None
    try:
        with transaction.atomic(durable=True):
            queries.execute("begin_scrape")
            return [*_state(), *_counts(), *_runs(), *_triggers(), *_webhooks(), *_backup()]
    except Error as error:
        logger.warning("the database could not be asked for metrics: %s", error)
        return None


def _of_broker() -> list[Metric] | None:
    try:
        return [_gauge("queue_messages", "Messages that wait for a worker.", "queue", broker.queue_lengths())]
    except OSError:
        return None


def _state() -> Iterator[Metric]:
    [state] = queries.dicts("state")
    yield _gauge("pending_changes", "Changes whose balances are not computed yet.", value=state["pending"])
    yield _gauge(
        "oldest_pending_change_age_seconds",
        "How long the oldest of them has been waiting; 0: there is none.",
        value=state["oldest_pending_seconds"] or 0,
    )
    yield _gauge("quarantined_licenses", "Licenses whose recompute fails.", value=state["quarantined"])
    yield _gauge("relays", "Relays that are up.", value=state["relays"])
    if state["beat_seconds"] is not None:
        yield _gauge(
            "beat_age_seconds", "Since a worker did what beat asks twice a minute.", value=state["beat_seconds"]
        )
    yield _gauge("night_owed", "1: the night of today's date in India has not begun.", value=state["is_night_owed"])
    waiting = {"preview": state["previews"], "load": state["loads"]}
    yield _gauge("uploads_waiting", "Uploads of ledgers that a worker is to read or to load.", "state", waiting)
    yield _gauge(
        "oldest_upload_age_seconds",
        "Since a worker was wanted for the oldest of them; 0: there is none.",
        value=state["oldest_upload_seconds"] or 0,
    )


def _counts() -> Iterator[Metric]:
    done = tally.read()
    recomputes = CounterMetricFamily(
        f"{PREFIX}recomputes", "Recomputes that changed a balance, by what asked for them.", labels=["because"]
    )
    for because, count in (("change", done.for_changes), ("retry", done.for_retries), ("night", done.for_night)):
        recomputes.add_metric([because], count)
    yield recomputes
    yield CounterMetricFamily(
        f"{PREFIX}recompute_failures", "Recomputes of a license that failed by themselves.", value=done.failures
    )
    bounds = [f"{float(bound)}" for bound in tally.BOUNDS] + ["+Inf"]  # "1.0": as Prometheus 3 makes of them
    yield HistogramMetricFamily(
        f"{PREFIX}balance_latency_seconds",
        "From the oldest write that asked for it to the balance.",
        buckets=list(zip(bounds, map(float, accumulate(done.latency_counts)), strict=True)),
        sum_value=float(done.latency_seconds),
    )


def _runs() -> Iterator[Metric]:
    runs = {run["trigger"]: run for run in queries.dicts("last_runs")}
    said = "The last run, by the night or by hand: "
    midnight = f"{said}midnight in India of its date, as Unix time."
    date = _labelled("last_run_business_date_timestamp_seconds", midnight, "trigger")
    duration = _labelled("last_run_duration_seconds", f"{said}how long it took, or has been going on.", "trigger")
    state = _labelled("last_run_state", f"{said}1 for the state that it is in.", "trigger", "state")
    licenses = _labelled("last_run_licenses", f"{said}how many licenses.", "trigger", "what")
    unmailed = _labelled("last_run_mail_failing", f"{said}1: its report could not be mailed.", "trigger")
    drift = _labelled("last_run_drift", f"{said}how many fields of balances had drifted.", "trigger", "cause")
    for trigger in (each for each in RunTrigger.values if each in runs):
        run = runs[trigger]
        drifted = json.loads(run["drift_counts"])
        date.add_metric([trigger], run["business_date_seconds"])
        duration.add_metric([trigger], run["duration_seconds"])
        for status in RunStatus.values:
            state.add_metric([trigger, status], status == run["status"])
        for what in ("checked", "drifted", "repaired"):
            licenses.add_metric([trigger, what], run[what])
        unmailed.add_metric([trigger], run["is_mail_failing"])
        for cause in Cause:
            if cause not in NO_DRIFT:
                drift.add_metric([trigger, cause], drifted.get(cause, 0))
    yield from (date, duration, state, licenses, unmailed, drift)


def _triggers() -> Iterator[Metric]:
    faults = trigger_faults()
    of_balances = sum(fault.bears_on_balances for fault in faults)
    counts = {"balances": of_balances, "evidence": len(faults) - of_balances}
    yield _gauge(
        "trigger_faults", "Triggers that are missing, disabled or replaced, by what relies on them.", "of", counts
    )


def _webhooks() -> Iterator[Metric]:
    behind = _labelled("webhook_changes_behind", "Changes that a webhook has not been sent.", "webhook")
    failing = _labelled("webhook_failing_seconds", "For how long a webhook fails; 0: it does not.", "webhook")
    stopped = _labelled("webhook_stopped", "1: it failed for days, and nothing is sent any more.", "webhook")
    for webhook in queries.dicts("webhooks"):
        name = [f"{webhook['id']}"]
        behind.add_metric(name, webhook["behind"])
        failing.add_metric(name, webhook["failing_seconds"])
        stopped.add_metric(name, webhook["state"] == WebhookState.STOPPED)
    yield from (behind, failing, stopped)


def _backup() -> Iterator[Metric]:
    if (age := backup.age()) is not None:
        yield _gauge("backup_age_seconds", "Since the last backup began.", value=Decimal(age.total_seconds()))


def _gauge(
    name: str, said: str, label: str = "", values: Mapping[str, int] | None = None, *, value: int | Decimal = 0
) -> Metric:
    """One value, or one by label."""
    if values is None:
        return GaugeMetricFamily(PREFIX + name, said, value=float(value))
    gauge = _labelled(name, said, label)
    for each, of_it in values.items():
        gauge.add_metric([each], of_it)
    return gauge


def _labelled(name: str, said: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, said, labels=labels)

"""What a run found, for people: gathered from its records here, and shown by report_text, report_files and report_html.

docs/night.md says what each part means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Abs
from django.utils import timezone

from ledger import customs
from ledger.models import MismatchKind
from license.clock import INDIA
from license.formats import day, indian, money
from license.models import License
from reconcile.audit import Cause
from reconcile.guard import TriggerFault
from reconcile.models import Drift, Finding, FindingKind, ReconciliationRun, RunStatus, RunTrigger
from reconcile.sql import queries

SOON_DAYS = (7, 30, 60)
"""A license with balance left expires soon: within these many days."""

TREND_RUNS = 30
MOST_FAILURES = 3

ORDER = ("license_number", F("serial_number").asc(nulls_first=True), "pk")
# what people look at first: the worst amount, or the nearest date
WORST_FIRST = ("currency", Abs("amount").desc(nulls_last=True), *ORDER)
SOONEST_FIRST = (F("expiry_date").asc(nulls_last=True), *ORDER)
ORDERS = {
    FindingKind.OVERDRAWN: WORST_FIRST,
    FindingKind.RESTRICTION_OVERUSED: WORST_FIRST,
    **{FindingKind(kind): WORST_FIRST for kind in MismatchKind},
    FindingKind.EXPIRING: SOONEST_FIRST,
    FindingKind.NORM_UNKNOWN: SOONEST_FIRST,
}
URGENT = {
    FindingKind.OVERDRAWN: "overdrawn",
    FindingKind.RESTRICTION_OVERUSED: "restrictions overused",
}
"""What may be duty to pay, in the words of a mail's subject."""


@dataclass(frozen=True, slots=True)
class Section:
    """The findings of one kind."""

    kind: FindingKind
    count: int
    findings: Sequence[Finding]
    """The first of them, as many as were asked for."""

    @property
    def title(self) -> str:
        return self.kind.label

    @property
    def more(self) -> int:
        """How many there are beyond those."""
        return self.count - len(self.findings) if self.is_kept else 0

    @property
    def is_kept(self) -> bool:
        """Whether its findings are still there, and not only their number (REPORT_DAYS)."""
        return bool(self.findings)


@dataclass(frozen=True, slots=True)
class Report:
    """A run and all that it found. Amounts of different currencies are never added up."""

    run: ReconciliationRun
    since: ReconciliationRun | None
    """The night before it; what is new in this report has come since then."""
    causes: dict[str, int]
    """How many differences have each cause, the most common first."""
    drift: Sequence[Drift]
    """What was not equal to its facts, but for flags that the last midnight turned: as many as were asked for."""
    sections: Sequence[Section]
    """In the order of FindingKind, without the empty ones."""
    expiring: dict[int, int]
    """How many licenses expire within each of SOON_DAYS."""
    trend: Sequence[ReconciliationRun]
    """This run and those before it, oldest first."""
    failures: Sequence[str]
    """Its chunks that failed for good, in words."""

    @property
    def drift_count(self) -> int:
        """How many differences there are in all."""
        return sum(self.causes.values())

    @property
    def more_drift(self) -> int:
        """How many differences there are beyond those in `drift`."""
        return self.drift_count - len(self.drift)

    @property
    def is_worrying(self) -> bool:
        """Whether somebody should look before the working day begins."""
        return is_worrying(self.run)


def is_worrying(run: ReconciliationRun) -> bool:
    """Whether a run has found that something is wrong with the system itself."""
    return bool(
        run.status != RunStatus.COMPLETE
        or run.licenses_drifted
        or run.licenses_quarantined
        or run.trigger_faults
        or run.findings_error
    )


def find(run: ReconciliationRun) -> None:
    """Write down the findings of a run, and count them. Once for each run, in the transaction that ends it."""
    since = night_before(run)
    queries.execute(
        "find",
        run_id=run.pk,
        today=run.business_date,
        since=since.finished_at if since else run.started_at - timedelta(days=1),
        last_business_date=since.business_date if since else run.business_date - timedelta(days=1),
        soon_days=SOON_DAYS[-1],
        license_ids=queries.column("overdrawn_items"),
        of_licenses=None,
        kind=None,
    )


def night_before(run: ReconciliationRun) -> ReconciliationRun | None:
    """The last night before this run that told what it found."""
    return (
        ReconciliationRun.objects.filter(
            trigger=RunTrigger.NIGHT, pk__lt=run.pk, finished_at__isnull=False, findings_error=""
        )
        .order_by("pk")
        .last()
    )


def last_run(business_date: date | None = None) -> ReconciliationRun | None:
    """The newest run that is over, of this business date if one is given."""
    runs = ReconciliationRun.objects.filter(finished_at__isnull=False)
    if business_date:
        runs = runs.filter(business_date=business_date)
    return runs.order_by("pk").last()


def gather(run: ReconciliationRun, at_most: int | None = None) -> Report:
    """The report of a run; of each list no more than the first `at_most`."""
    drift = drift_of(run)
    expiring = run.findings.filter(kind=FindingKind.EXPIRING)
    trend = ReconciliationRun.objects.filter(Q(pk=run.pk) | Q(finished_at__isnull=False), pk__lte=run.pk)
    return Report(
        run=run,
        since=night_before(run),
        causes=dict(drift.order_by().values_list("cause").annotate(n=Count("pk")).order_by("-n", "cause")),
        drift=list(drift[:at_most]),
        sections=[_section(run, kind, at_most) for kind in FindingKind if run.finding_counts.get(kind)],
        expiring={
            int(days): count
            for days, count in expiring.aggregate(
                **{
                    str(days): Count("pk", filter=Q(expiry_date__lte=run.business_date + timedelta(days=days)))
                    for days in SOON_DAYS
                }
            ).items()
        },
        trend=list(trend.order_by("-pk")[:TREND_RUNS])[::-1],
        failures=failures(run) if run.status == RunStatus.INCOMPLETE else [],
    )


def drift_of(run: ReconciliationRun) -> QuerySet[Drift]:
    """What was not equal to its facts, but for flags that the last midnight turned, in the order of the report."""
    return run.drift.exclude(cause=Cause.EXPIRY).order_by(*ORDER)


def findings_of(run: ReconciliationRun, kind: FindingKind) -> QuerySet[Finding]:
    """Its findings of a kind, in the order of the report."""
    return run.findings.filter(kind=kind).order_by(*ORDERS.get(kind, ORDER))


def _section(run: ReconciliationRun, kind: FindingKind, at_most: int | None) -> Section:
    return Section(kind, run.finding_counts[kind], list(findings_of(run, kind)[:at_most]))


def failures(run: ReconciliationRun) -> list[str]:
    """The chunks of a run that are not finished, in words."""
    chunks = list(run.chunks.filter(finished_at=None).order_by("pk"))
    ids = {pk for chunk in chunks for pk in (chunk.first_license_id, chunk.last_license_id)}
    numbers = dict(License.objects.filter(pk__in=ids).values_list("pk", "license_number"))
    return [
        f"licenses {license_name(chunk.first_license_id, numbers.get(chunk.first_license_id, ''))} to "
        f"{license_name(chunk.last_license_id, numbers.get(chunk.last_license_id, ''))}: "
        + (_first_line(chunk.error) or "who worked on them was lost each time")
        for chunk in chunks
    ]


def license_name(license_id: int, number: str) -> str:
    """What a license is called; one that is gone has no number."""
    return number or f"id {license_id}, gone"


def subject(report: Report) -> str:
    """The title with the state of things: what is wrong with the system, or else what may be duty to pay."""
    urgent = [f"{section.count} {URGENT[section.kind]}" for section in report.sections if section.kind in URGENT]
    state = "needs a look" if report.is_worrying else ", ".join(urgent) or "all is well"
    return f"{title(report.run)}: {state}"


def title(run: ReconciliationRun) -> str:
    """What the report is called."""
    of = "night" if run.trigger == RunTrigger.NIGHT else "run"
    return f"License balances, {of} of {day(run.business_date)}"


def headline(report: Report) -> str:
    """The run in one sentence."""
    run = report.run
    return (
        f"{run.licenses_checked} licenses checked, {run.licenses_drifted} drifted, {run.licenses_repaired} repaired, "
        f"{run.licenses_expired} with an expiry flag to turn, {run.licenses_quarantined} in quarantine."
    )


def warnings(report: Report) -> list[str]:
    """What is wrong with the run or the system, a sentence each."""
    run = report.run
    said = [str(TriggerFault(**fault)) for fault in run.trigger_faults]
    if run.status == RunStatus.INCOMPLETE:
        first = "; ".join(report.failures[:MOST_FAILURES])
        said.append(f"{len(report.failures)} chunks of the run failed, their licenses were not checked: {first}")
    if run.status == RunStatus.RUNNING:
        said.append("The run is not over.")
    if run.findings_error:
        said.append(f"What it found could not be written down: {run.findings_error}")
    if run.mail_error:
        said.append(f"This report could not be mailed: {run.mail_error}")
    return said


def span(run: ReconciliationRun) -> str:
    """From when to when it went on, in India; the date too where it ended on another one."""
    began = timezone.localtime(run.started_at, INDIA)
    if run.finished_at is None:
        return f"{began:%H:%M:%S} IST to now"
    ended = timezone.localtime(run.finished_at, INDIA)
    clock = "%H:%M:%S" if began.day == ended.day else "%d %b %H:%M:%S"
    return f"{began:{clock}} to {ended:{clock}} IST"


def words(finding: Finding, business_date: date) -> str:
    """What a finding says beyond its license and item, in words."""
    stale = finding.details.get("stale")
    return _WORDS[FindingKind(finding.kind)](finding, business_date) + (f" ({stale}: may be wrong)" if stale else "")


def _overdrawn(finding: Finding, _: date) -> str:
    over = [
        money(finding.currency, finding.amount) if finding.amount is not None else "",
        f"{indian(finding.quantity, 3)} {finding.details.get('unit', '')}".strip() if finding.quantity else "",
    ]
    of = "its value and quantity" if all(over) else "its quantity" if over[1] else "its value"
    return f"{' and '.join(filter(None, over))} more used than {of if finding.serial_number else 'was earned'}"


def _restriction(finding: Finding, _: date) -> str:
    details = finding.details
    by = f"norm {details['norm']}" if details["norm"] else "the condition sheet"
    numbers = details["serial_numbers"]
    return (
        f"{Decimal(details['percentage']).normalize():f} % by {by}: {indian(Decimal(details['limit']))} allowed, "
        f"{indian(Decimal(details['used']))} used; limits item{'s' if len(numbers) > 1 else ''} "
        + ", ".join(map(str, numbers))
    )


def _quarantined(finding: Finding, _: date) -> str:
    tries = finding.details["attempts"]
    return (
        f"cannot be recomputed, tried {tries} time{'s' if tries > 1 else ''}: {_first_line(finding.details['error'])}"
    )


def _mismatch(finding: Finding, _: date) -> str:
    amount = finding.amount or Decimal(0)
    return customs.words(finding.kind, finding.currency, amount, finding.quantity, finding.details)


def _released(finding: Finding, _: date) -> str:
    details = finding.details
    bills = ", ".join(details["bills_of_entry"])
    return f"allotment {details['allotment_id']} to {details['company']}: {_what(finding)}; released by BE {bills}"


def _given_up(finding: Finding, _: date) -> str:
    details = finding.details
    why = f"given up by {details['by']}" if details["by"] else f"its last day was {_day(details['last_day'])}"
    return f"allotment {details['allotment_id']} to {details['company']}: {_what(finding)}; {why}"


def _expired(finding: Finding, _: date) -> str:
    return f"on {_expiry(finding)} with {_left(finding)}"


def _expiring(finding: Finding, business_date: date) -> str:
    days = (finding.expiry_date - business_date).days if finding.expiry_date else 0
    when = "today" if days == 0 else "tomorrow" if days == 1 else f"in {days} days"
    return f"{when}, {_expiry(finding)}: {_left(finding)}"


def _newly_null(finding: Finding, _: date) -> str:
    before = finding.details["earlier_balance_cif"]
    return _left(finding) + (f", was {money(finding.currency, Decimal(before))}" if before else "")


def _norm_unknown(finding: Finding, _: date) -> str:
    return _left(finding)


_WORDS = {
    FindingKind.OVERDRAWN: _overdrawn,
    FindingKind.RESTRICTION_OVERUSED: _restriction,
    FindingKind.QUARANTINED: _quarantined,
    FindingKind.UNCONVERTED: _mismatch,
    FindingKind.DISPUTED: _mismatch,
    FindingKind.TWIN: _mismatch,
    FindingKind.IMBALANCE: _mismatch,
    FindingKind.RELEASED: _released,
    FindingKind.GIVEN_UP: _given_up,
    FindingKind.EXPIRED: _expired,
    FindingKind.EXPIRING: _expiring,
    FindingKind.NEWLY_NULL: _newly_null,
    FindingKind.NORM_UNKNOWN: _norm_unknown,
}


def _left(finding: Finding) -> str:
    return f"{money(finding.currency, finding.amount or Decimal(0))} left"


def _what(finding: Finding) -> str:
    """The amount and the quantity of a line."""
    unit = finding.details.get("unit", "")
    quantity = f"{indian(finding.quantity or Decimal(0), 3)} {unit}".strip()
    return f"{money(finding.currency, finding.amount or Decimal(0))} for {quantity}"


def _expiry(finding: Finding) -> str:
    return day(finding.expiry_date) if finding.expiry_date else ""


def _day(iso: str) -> str:
    return day(date.fromisoformat(iso))


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""

"""The pages of the night: every reconciliation, what one found, and one that is wanted now."""

import logging
from datetime import UTC, datetime, timedelta
from itertools import chain

from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh
from kombu.exceptions import OperationalError as BrokerError

from desk.lists import paged
from desk.models import RunRequest
from desk.views import page
from ledger.models import MismatchKind
from license.models import License
from license.tasks import sync_all_licenses
from reconcile.audit import Cause
from reconcile.models import FindingKind, ReconciliationRun, RunStatus
from reconcile.report import TREND_RUNS, Report, drift_of, findings_of, gather, headline, span, title, warnings
from reconcile.report_files import as_json, csv_lines
from reconcile.report_html import trend

logger = logging.getLogger(__name__)

SHOWN = 50
"""Of each list on the page of a run; the rest is on pages of its own."""
MOST_IN_JSON = 20_000
"""Differences and findings. More would take too much memory: CSV is sent line by line."""
WORKER_SECONDS = 60
"""By then a worker has taken what it was asked for; else the message is dropped."""
NOW_SECONDS = 10
"""Who asks for a run so soon after one has begun is led to that one: somebody else has asked at the same time."""
NEVER = datetime.fromtimestamp(0, UTC)

VIEW_RUN = "reconcile.view_reconciliationrun"
WHAT_IT_FOUND = (VIEW_RUN, "reconcile.view_drift", "reconcile.view_finding")


@page(VIEW_RUN)
def runs(request: HttpRequest) -> HttpResponse:
    """Every run, the newest first, and the drift of the last ones as a chart."""
    shown = paged(
        request, ReconciliationRun.objects.annotate(duration=F("finished_at") - F("started_at")).order_by("-pk")
    )
    last = [run for run in shown["page"] if run.finished_at][TREND_RUNS - 1 :: -1] if shown["page"].number == 1 else []
    return render(request, "desk/runs.html", {**shown, **trend(last)})


@page(*WHAT_IT_FOUND)
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """The report of one run. While it is under way the page asks how far it is, and is loaded anew when it is over."""
    shown = get_object_or_404(ReconciliationRun, pk=pk)
    if shown.status == RunStatus.RUNNING:
        licenses = License.objects.count()
        return render(request, "desk/run_active.html", {"run": shown, "title": title(shown), "licenses": licenses})
    if request.headers.get("HX-Request"):
        return HttpResponseClientRefresh()
    report = gather(shown, SHOWN)
    return render(
        request,
        "desk/run.html",
        {
            "report": report,
            "run": shown,
            "title": title(shown),
            "headline": headline(report),
            "span": span(shown),
            "warnings": warnings(report),
            "has_json": size(report) <= MOST_IN_JSON,
            "mismatch_kinds": MismatchKind.values,
            **trend(report.trend),
        },
    )


@page(*WHAT_IT_FOUND)
def drift(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything that differed, or what did for one cause."""
    shown = get_object_or_404(ReconciliationRun, pk=pk)
    found = drift_of(shown)
    cause = request.GET.get("cause")
    if cause in list(Cause):
        found = found.filter(cause=cause)
    return render(request, "desk/drift.html", {"run": shown, "title": title(shown), **paged(request, found)})


@page(*WHAT_IT_FOUND)
def findings(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """All findings of one kind."""
    if kind not in FindingKind:
        raise Http404("There is no such kind of finding.")
    shown = get_object_or_404(ReconciliationRun, pk=pk)
    found = paged(request, findings_of(shown, FindingKind(kind)))
    return render(
        request, "desk/findings.html", {"run": shown, "title": title(shown), "kind": FindingKind(kind).label, **found}
    )


@page(*WHAT_IT_FOUND)
def report_file(_: HttpRequest, pk: int, form: str) -> HttpResponseBase:
    """The whole report as a file: `csv`, or `json` where there is not too much of it."""
    shown = get_object_or_404(ReconciliationRun, pk=pk)
    answer: HttpResponseBase
    if form == "csv":
        found = chain.from_iterable(findings_of(shown, kind).iterator() for kind in FindingKind)
        answer = StreamingHttpResponse(csv_lines(shown, drift_of(shown).iterator(), found), content_type="text/csv")
    elif form == "json" and size(gather(shown, 0)) <= MOST_IN_JSON:
        answer = HttpResponse(as_json(gather(shown)), content_type="application/json")
    else:
        raise Http404("There is no such file of this run.")
    answer.headers["Content-Disposition"] = f'attachment; filename="reconciliation-{shown.business_date}-{pk}.{form}"'
    return answer


def size(report: Report) -> int:
    """How many lines it has in all."""
    return report.drift_count + sum(section.count for section in report.sections)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required((VIEW_RUN, "reconcile.add_reconciliationrun"), raise_exception=True)
def run_now(request: HttpRequest) -> HttpResponse:
    """Ask a worker for a run, and wait here until it has begun; then its own page shows how far it is.

    What was asked for is everybody's: who comes while it is awaited waits for it too."""
    is_away = False
    if request.method == "POST":
        try:
            ask_for_run()
            return redirect("run_now")
        except (BrokerError, OSError) as error:
            logger.warning("no worker could be asked for a run: %s", error)
            is_away = True
    newest, asked = newest_run(), RunRequest.objects.first()
    is_poll = bool(request.headers.get("HX-Request"))
    if newest and (is_of_now(newest) or (is_poll and asked and newest.pk > asked.newest_run)):
        there = reverse("run", args=[newest.pk])
        return HttpResponseClientRedirect(there) if is_poll else redirect(there)
    unanswered = asked if asked and asked.newest_run == (newest.pk if newest else 0) else None
    is_asked = unanswered is not None and may_come(unanswered)
    return render(
        request,
        "desk/run_now.html",
        {"is_asked": is_asked, "is_away": is_away, "in_vain": None if is_asked else unanswered},
        status=503 if is_away else 200,
    )


def ask_for_run() -> None:
    """Of those who ask for a run at once, in whichever sessions, one asks a worker; nobody does while that one may
    still come, nor where one is under way or has just begun. Raises BrokerError or OSError where the broker is away."""
    with transaction.atomic():
        asked, _ = RunRequest.objects.select_for_update().get_or_create(
            pk=1, defaults={"asked_at": NEVER, "newest_run": 0}
        )
        newest = newest_run()
        newest_id = newest.pk if newest else 0
        if (newest and is_of_now(newest)) or (asked.newest_run == newest_id and may_come(asked)):
            return
        asked.asked_at, asked.newest_run = timezone.now(), newest_id
        asked.save()
        sync_all_licenses.apply_async(expires=WORKER_SECONDS, retry=False, ignore_result=True)


def newest_run() -> ReconciliationRun | None:
    return ReconciliationRun.objects.order_by("pk").last()


def is_of_now(run: ReconciliationRun) -> bool:
    """Whether it is what somebody wants who asks for one now."""
    return run.status == RunStatus.RUNNING or run.started_at > timezone.now() - timedelta(seconds=NOW_SECONDS)


def may_come(asked: RunRequest) -> bool:
    """Whether a worker may still take what it was asked for."""
    return asked.asked_at > timezone.now() - timedelta(seconds=WORKER_SECONDS)

"""Customs' ledgers by upload: what they would change is shown, somebody confirms it, and reads what was done.

The work is a worker's (`ledger.uploads`); these pages keep files, show what it has written down, and ask how far it is.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, Func, JSONField, OuterRef, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from desk.lists import paged
from desk.upload_limit import MAX_REQUEST_BYTES
from desk.views import page
from ledger import uploads
from ledger.icegate.ledger import Problem
from ledger.icegate.load import Status
from ledger.models import Upload, UploadedLicense, UploadFile, UploadState
from ledger.uploads import MAX_BYTES, MAX_FILES, RefusedError
from license.clock import business_date
from license.formats import day, indian, quantity

VIEW, ADD = "ledger.view_upload", "ledger.add_upload"
WORKER_SECONDS = 60
"""By then a worker has taken what there is to do, if one is up."""
MOST_CHANGES = 5
"""Of a license in the list; all of them are on a page of its own."""
OTHERWISE = "otherwise"
"""Stands among the states in the address: of what has not become what the preview said."""
COUNTED = (
    ("import item new", "Items new", "new item{s}"),
    ("import item changed", "changed", "changed item{s}"),
    ("debit new", "Debits new", "new debit{s}"),
    ("debit changed", "changed", "changed debit{s}"),
    ("debit disputed", "disputed", "disputed debit{s}"),
    ("debit found again", "found again", "debit{s} found again"),
)
"""What is counted, of each license under a head and of all in words."""


# ── Pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(VIEW, raise_exception=True)
def ledgers(request: HttpRequest) -> HttpResponse:
    """Every upload, the newest first; a POST brings another."""
    refusal = ""
    if request.method == "POST":
        _may_add(request)
        try:
            return redirect("upload", _received(request).pk)
        except RefusedError as refused:
            refusal = str(refused)
    files = UploadFile.objects.only("upload_id", "name").order_by("pk")
    found = Upload.objects.prefetch_related(Prefetch("files", files)).order_by("-pk")
    shown = {"refusal": refusal, "form": uuid4(), "most_files": MAX_FILES, "most_mb": MAX_BYTES // 1024**2}
    return render(request, "desk/ledgers.html", {**shown, **paged(request, found)}, status=400 if refusal else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(VIEW, raise_exception=True)
def upload(request: HttpRequest, pk: int) -> HttpResponse:
    """What an upload would do, or has done. While a worker is at it the page asks how far it is, and is loaded anew
    when it is over. A POST decides."""
    shown = get_object_or_404(Upload, pk=pk)
    refusal = ""
    if request.method == "POST":
        _may_add(request)
        refusal = _decided(request, shown)
        if not refusal:
            return redirect("upload", pk)
        shown.refresh_from_db()
    status = 409 if refusal else 200
    if shown.state in uploads.AT_WORK:
        return render(request, "desk/upload_active.html", {**_active(shown), "refusal": refusal}, status=status)
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(request.path)  # loaded anew, a page that answers a POST would post again
    return render(request, "desk/upload.html", {**_over(request, shown), "refusal": refusal}, status=status)


@page(VIEW)
def uploaded_license(request: HttpRequest, pk: int, license_pk: int) -> HttpResponse:
    """All that an upload changes of one license."""
    shown = get_object_or_404(_with_file(pk), pk=license_pk)
    found = paged(request, shown.changes)
    found["changes"] = [Shown.of(change) for change in found["page"]]
    return render(request, "desk/uploaded_license.html", {"upload_pk": pk, "license": shown, **found})


def _with_file(upload_pk: int) -> QuerySet[UploadedLicense]:
    return UploadedLicense.objects.filter(file__upload=upload_pk).select_related("file").defer("file__content")


def _may_add(request: HttpRequest) -> None:
    if not request.user.has_perm(ADD):
        raise PermissionDenied


def _received(request: HttpRequest) -> Upload:
    size = int(request.META.get("CONTENT_LENGTH") or 0)
    if size > MAX_REQUEST_BYTES:
        uploads.refuse_too_much(size)
    form = _uuid(request.POST.get("form", "")) or uuid4()
    return uploads.receive(request.FILES.getlist("files"), by=request.user.get_username(), form=form)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# ── Deciding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _decided(request: HttpRequest, upload: Upload) -> str:
    """Do what was asked for. Nothing, or why it was not done; who asks twice is not told so."""
    seen, by = _uuid(request.POST.get("preview", "")), request.user.get_username()
    changes: dict[str, Any] = {"decided_by": by}
    states: tuple[UploadState, ...]
    match request.POST.get("do"):
        case "confirm":
            states, is_done = (UploadState.LOAD, UploadState.LOADED), uploads.confirm(upload.pk, seen, by=by)
        case "reject":
            states, is_done = (UploadState.REJECTED,), uploads.reject(upload.pk, seen, by=by)
        case "again":
            try:
                ledger_date = _ledger_date(request.POST.get("ledger_date", ""))
            except ValueError as error:
                return str(error)
            states = (UploadState.PREVIEW, UploadState.PREVIEWED)
            changes = {"is_forced": "force" in request.POST, "ledger_date": ledger_date}
            is_done = uploads.preview_again(upload.pk, seen, force=changes["is_forced"], ledger_date=ledger_date)
        case _:
            return "Nothing was done."
    if is_done or Upload.objects.filter(pk=upload.pk, state__in=states, **changes).exists():
        return ""
    return "Nothing was done: somebody was first. What became of it is said below."


def _ledger_date(text: str) -> date | None:
    if not text:
        return None
    try:
        when = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"“{text}” is not a date.") from None
    if when > business_date():
        raise ValueError(f"{day(when)} is still to come; say on which day the files were printed.")
    return when


# ── What is shown ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _active(upload: Upload) -> dict[str, Any]:
    now = timezone.now()
    return {
        "upload": upload,
        "is_taken": upload.leased_until is not None and upload.leased_until > now,
        "is_left": upload.leased_until is not None and upload.leased_until <= now,
        "waits_long": now > upload.asked_at + timedelta(seconds=WORKER_SECONDS),
    }


def _over(request: HttpRequest, upload: Upload) -> dict[str, Any]:
    files = list(upload.files.defer("content").order_by("pk"))
    is_loaded = upload.state == UploadState.LOADED or (upload.state == UploadState.FAILED and bool(upload.decided_by))
    licenses = _with_some_changes(UploadedLicense.objects.filter(file__upload=upload, is_loaded=is_loaded))
    statuses: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for status, of_one, is_as_previewed in licenses.values_list("status", "counts", "is_as_previewed"):
        statuses[status] += 1
        statuses[OTHERWISE] += not is_as_previewed
        counts.update(of_one)
    only = request.GET.get("only", "")
    if not statuses[only]:
        only = ""
    elif only == OTHERWISE:
        licenses = licenses.filter(is_as_previewed=False)
    else:
        licenses = licenses.filter(status=only)
    found = paged(request, licenses.order_by("file_id", "line", "pk"))
    names = {file.pk: file.name for file in files}
    problems = [Problem(**problem) for file in files for problem in file.problems][: uploads.MOST_PROBLEMS]
    return {
        "upload": upload,
        "files": files,
        "size": sum(file.size for file in files),
        "is_loaded": is_loaded,
        "statuses": [(statuses[status], status) for status in Status if statuses[status]],
        "otherwise": statuses[OTHERWISE],
        "only": only,
        "unreadable": sum(file.unreadable for file in files),
        "counts": [
            (counts[kind], words.format(s="" if counts[kind] == 1 else "s"))
            for kind, _, words in COUNTED
            if counts[kind]
        ],
        "is_change": bool(statuses[Status.CREATED] or statuses[Status.UPDATED]),
        "problems": problems,
        "more_problems": sum(file.problem_count for file in files) - len(problems),
        "columns": [(head, words.format(s="s")) for _, head, words in COUNTED],
        "licenses": [_row(license, names[license.file_id]) for license in found["page"]],
        "days": uploads.CONTENT_DAYS,
        **found,
    }


def _with_some_changes(licenses: QuerySet[UploadedLicense]) -> QuerySet[Any]:
    """Each with its first changes, and whether the preview said the same of it."""
    previewed = UploadedLicense.objects.filter(
        file=OuterRef("file"),
        license_number=OuterRef("license_number"),
        is_loaded=False,
        status=OuterRef("status"),
        changes=OuterRef("changes"),
    )
    some = Func(
        F("changes"),
        template=f"jsonb_path_query_array(%(expressions)s, '$[0 to {MOST_CHANGES - 1}]')",
        output_field=JSONField(),
    )
    return licenses.annotate(some=some, is_as_previewed=Exists(previewed)).defer("changes")


def _row(license: Any, file_name: str) -> dict[str, Any]:
    return {
        "license": license,
        "file": file_name,
        "is_known": license.status != Status.REFUSED and (license.is_loaded or license.status != Status.CREATED),
        "numbers": [license.counts.get(kind, 0) for kind, _, _ in COUNTED],
        "changes": [Shown.of(change) for change in license.some],
        "more": sum(license.counts.values()) - len(license.some),
    }


def _date(text: str) -> str:
    return day(date.fromisoformat(text))


def _money(text: str) -> str:
    return indian(Decimal(text))


def _quantity(text: str) -> str:
    return quantity(Decimal(text))


FIELDS: dict[str, tuple[str, Callable[[str], str]]] = {
    "bill_date": ("date", _date),
    "license_date": ("date", _date),
    "license_expiry_date": ("expiry date", _date),
    "is_expiry_presumed": ("expiry presumed", lambda text: "yes" if text == "true" else "no"),
    "registration_number": ("registration", str),
    "registration_date": ("registered on", _date),
    "notification_number": ("notification", str),
    "scheme_code": ("scheme", str),
    "currency": ("currency", str),
    "exporter": ("exporter’s IEC", str),
    "port": ("port", str),
    "ledger_date": ("ledger printed on", _date),
    "ledger_as_of": ("ledger as of", _date),
    "net_quantity": ("quantity", _quantity),
    "quantity": ("quantity", _quantity),
    "cif_fc": ("CIF", _money),
    "cif_inr": ("CIF INR", _money),
    "source": ("source", lambda text: "customs’ ledger" if text == "icegate" else "typed"),
    "disputed_since": ("not in the ledger of", _date),
}
"""How the fields of facts are called and shown, in this order."""
SAYS_NOTHING = ("0.00", "0.000", "false", "icegate")
"""Of what is new."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A change in words: what it is of, `new` or the like, and its fields."""

    name: str
    what: str
    fields: list[str]

    @classmethod
    def of(cls, change: dict[str, Any]) -> "Shown":
        """A change as `ledger.uploads` has kept it."""
        return cls(_name(change), change["what"], list(_fields(change)))


def _name(change: dict[str, Any]) -> str:
    match change["kind"]:
        case "license":
            return "License"
        case "export item":
            return "Entitlement"
        case "import item":
            return f"Item {change['serial_number']}"
        case _:
            return f"Item {change['serial_number']}, BE {change['bill']}"


def _fields(change: dict[str, Any]) -> Iterator[str]:
    for name, (label, shown) in FIELDS.items():
        if name not in change["fields"]:
            continue
        before, now = (value and shown(value) for value in change["fields"][name])
        if name == "disputed_since":
            yield f"{label} {now or before}"
        elif change["what"] != "new":
            yield f"{label} {before or 'none'} → {now or 'none'}"
        elif change["fields"][name][1] not in SAYS_NOTHING:
            yield f"{label} {now}"

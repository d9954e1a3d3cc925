"""Files to take away: the list as CSV and XLSX, balance sheets as XLSX and PDF, of just what the address selects.

They need as much memory for many licenses as for few, but for balance sheets, of which a file holds not too much.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import wraps
from typing import IO, Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from desk.balance_sheet import LICENSE, MAX_SHEETS, Sheet, as_workbook, cells
from desk.licenses import FIGURES, STATES, LicenseFilter, all_licenses, in_order, marks, totals
from desk.views import Page, page
from desk.workbook import MAX_ROWS, Cell, Column, Workbook, csv_lines
from ledger.explain import explain
from ledger.models import Quarantine
from license.clock import business_date
from license.formats import indian
from license.models import License
from reconcile.sql import queries

ROWS_AT_ONCE = 2_000
MAX_LINES = {"pdf": 5_000, "xlsx": MAX_ROWS}
"""Of the balance sheets in one file: items, credits, debits and allotments. They are made while somebody waits."""
OR_ELSE = {"pdf": "Take it as XLSX, or fewer licenses at a time.", "xlsx": "Take fewer licenses at a time."}
TYPES = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

LIST = (*LICENSE, Column("State", width=24))
TOTALS = (
    Column("Currency"), Column("Licenses", "count"), Column("Credit", "money", 20), Column("Debited", "money", 20),
    Column("Allotted", "money", 20), Column("Balance", "money", 20),
)  # fmt: skip


class NoFileError(Exception):
    """What was asked for makes no file. The text says why, and what to do."""


def file(function: Page) -> Page:
    """A file for those who may see licenses and balances; where there can be none, a page that says why (400)."""

    @page("license.view_license", "ledger.view_licensebalance")
    @wraps(function)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return function(request, *args, **kwargs)
        except NoFileError as error:
            return render(request, "desk/no_file.html", {"reason": error}, status=400)

    return answer


# ── The list ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@file
def licenses_csv(request: HttpRequest) -> HttpResponseBase:
    """Every license that the filter finds, in the order of the list."""
    lines = csv_lines(LIST, _rows(selected(request.GET)))
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=named("licenses", "csv"))


@file
def licenses_xlsx(request: HttpRequest) -> HttpResponseBase:
    """The same as a workbook, with totals by currency and what was asked for: all of one snapshot."""
    found = selected(request.GET)
    check_size("XLSX", "licenses", found.count(), MAX_ROWS, "Narrow the filter, or take the list as CSV.")
    book, when = Workbook(), timezone.now()
    with snapshot():
        table = book.table("Licenses", LIST)
        for row in _rows(found):
            table.add(row)
        table.filtered()
        sums = book.table("Totals", TOTALS)
        for total in totals(found):
            sums.add([total.currency, total.licenses, *(getattr(total, name) for name in FIGURES)])
    state = STATES[request.GET["state"]][0] if request.GET.get("state") else "All"
    book.about(when, {"Search": request.GET.get("q", ""), "State": state})
    return sent(book.finish(), "licenses", "xlsx")


def selected(query: QueryDict) -> QuerySet[License]:
    """What the list shows for this address, on all its pages. Raises NoFileError where that makes no sense."""
    asked = LicenseFilter(query, queryset=all_licenses().select_related("port"))
    if not asked.is_valid():
        raise NoFileError(" ".join(error for errors in asked.errors.values() for error in errors))
    return in_order(asked.qs, query.get("sort"))


def _rows(licenses: QuerySet[License]) -> Iterator[list[Cell]]:
    pending = set(queries.column("pending"))
    quarantined = set(Quarantine.objects.values_list("pk", flat=True))
    for license in licenses.iterator(ROWS_AT_ONCE):
        said = ", ".join(words for _, words in marks(license, pending, quarantined))
        yield [*cells(license, getattr(license, "balance", None)), said]


# ── Balance sheets ────────────────────────────────────────────────────────────────────────────────────────────────────


@file
def balance_sheet(_: HttpRequest, number: str, kind: str) -> HttpResponseBase:
    """Of one license."""
    sheets = _sheets([number], kind)
    if not sheets:
        raise Http404(f"There is no license {number!r}.")
    return sent_sheets(sheets, f"balance-{number}", kind)


@file
def balance_sheets(request: HttpRequest, kind: str) -> HttpResponseBase:
    """Of all licenses that the filter finds, each of a snapshot of its own."""
    numbers = list(selected(request.GET).values_list("license_number", flat=True)[: MAX_SHEETS + 1])
    if len(numbers) > MAX_SHEETS:
        raise NoFileError(
            f"The filter finds more than {MAX_SHEETS} licenses, and one file holds the balance sheets of "
            f"{MAX_SHEETS} at most. Narrow the filter, or take the list itself."
        )
    sheets = _sheets(numbers, kind)
    if not sheets:
        raise NoFileError("No license fits the filter.")
    return sent_sheets(sheets, "balances", kind)


def explained(numbers: list[str]) -> Iterator[Sheet]:
    """Each license with a moment up to which its snapshot has everything. Those that are not there are passed over."""
    for number in numbers:
        if "\0" in number:  # PostgreSQL has no text with it
            continue
        when = timezone.now()
        with suppress(License.DoesNotExist):
            yield Sheet(explain(number), when)


def _sheets(numbers: list[str], kind: str) -> list[Sheet]:
    """Of all of them. Raises NoFileError as soon as they are too much for a file of this kind."""
    sheets, lines = [], 0
    for sheet in explained(numbers):
        sheets.append(sheet)
        lines += sheet.lines
        check_size(kind.upper(), "lines", lines, MAX_LINES[kind], OR_ELSE[kind])
    return sheets


def sent_sheets(sheets: list[Sheet], name: str, kind: str) -> HttpResponseBase:
    """As a file of this kind."""
    if kind == "pdf":
        # by what it is drawn with, every worker and command, which know the addresses, would start a tenth later
        from desk.balance_pdf import as_pdf

        return sent(as_pdf(sheets), name, kind)
    return sent(as_workbook(sheets), name, kind)


# ── What they share ───────────────────────────────────────────────────────────────────────────────────────────────────


def check_size(kind: str, of_what: str, size: int, most: int, or_else: str) -> None:
    """Raises NoFileError for more than a file of this kind holds."""
    if size > most:
        limit = indian(Decimal(most), 0)
        raise NoFileError(f"One {kind} file holds {limit} {of_what} at most, and this would have more. {or_else}")


@contextmanager
def snapshot() -> Iterator[None]:
    """All queries within see the same moment, and none writes."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def sent(file: IO[bytes], name: str, kind: str) -> FileResponse:
    """A finished file, to be saved under this name and the day."""
    return FileResponse(file, content_type=TYPES[kind], headers=named(name, kind))


def named(name: str, kind: str) -> dict[str, str]:
    """The header that says under which name a file is to be saved: license numbers may hold any character."""
    safe = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")
    return {"Content-Disposition": f'attachment; filename="{safe}-{business_date()}.{kind}"'}

"""Who changed what: the trail of everything, statement by statement, and that of a license, change by change."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from itertools import islice
from typing import Any, TypeVar

import django_filters as filters
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.forms import DateInput, SearchInput
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render

from desk.files import named
from desk.lists import PAGE_SIZE
from desk.views import page
from desk.workbook import Cell, Column, csv_lines, moment
from ledger.models import TrailStatement
from ledger.sql import queries
from ledger.trail_words import KINDS, Change, in_words, of_license, of_statement
from license.clock import INDIA
from license.models import License

Item = TypeVar("Item")

TRAIL = "ledger.view_trailstatement"
AT_ONCE = 500

CSV = (
    Column("When"), Column("Who"), Column("Via"), Column("Role"), Column("Application"), Column("Address"),
    Column("Operation"), Column("Table"), Column("Row"), Column("About"), Column("What"), Column("Changes"),
    Column("Before"), Column("After"), Column("Statement"), Column("Transaction"), Column("SQL"),
)  # fmt: skip


class TrailFilter(filters.FilterSet):  # type: ignore[misc]  # it has no types
    """What the address may ask for. An answer that makes no sense filters nothing, and the form says so."""

    user = filters.CharFilter(field_name="user_name", label="User", widget=SearchInput)
    kind = filters.ChoiceFilter(
        choices=list(KINDS.items()), field_name="table_name", label="What", empty_label="Everything"
    )
    since = filters.DateFilter(method="from_day", label="From", widget=DateInput({"type": "date"}))
    until = filters.DateFilter(method="to_day", label="To", widget=DateInput({"type": "date"}))

    class Meta:
        model = TrailStatement
        fields: list[str] = []

    def from_day(self, found: QuerySet[TrailStatement], _: str, day: Any) -> QuerySet[TrailStatement]:
        return found.filter(written_at__gte=datetime.combine(day, time.min, INDIA))

    def to_day(self, found: QuerySet[TrailStatement], _: str, day: Any) -> QuerySet[TrailStatement]:
        return found.filter(written_at__lte=datetime.combine(day, time.max, INDIA))


def number_in(request: HttpRequest, name: str) -> int | None:
    """An id that the address says; None where it says none."""
    said = request.GET.get(name, "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None


@page(TRAIL)
def trail(request: HttpRequest) -> HttpResponse:
    """Every statement that wrote facts, the newest first."""
    asked = TrailFilter(request.GET, queryset=TrailStatement.objects.order_by("-pk"))
    older_than = number_in(request, "older_than")
    found = asked.qs.filter(pk__lt=older_than) if older_than else asked.qs
    rows = list(found[: PAGE_SIZE + 1])
    shown = {
        "filter": asked,
        "rows": [(row, KINDS.get(row.table_name, row.table_name)) for row in rows[:PAGE_SIZE]],
        "older_than": rows[PAGE_SIZE - 1].pk if len(rows) > PAGE_SIZE else None,
    }
    return render(request, "desk/trail.html", shown)


@page(TRAIL)
def trail_statement(request: HttpRequest, pk: int) -> HttpResponse:
    """One statement, and each row that it wrote."""
    statement = get_object_or_404(TrailStatement, pk=pk)
    changes = of_statement(pk, after=number_in(request, "after") or 0, at_most=PAGE_SIZE + 1)
    shown = {
        "statement": statement,
        "changes": changes[:PAGE_SIZE],
        "after": changes[PAGE_SIZE - 1].pk if len(changes) > PAGE_SIZE else None,
    }
    return render(request, "desk/trail_statement.html", shown)


@page(TRAIL, "license.view_license")
def license_trail(request: HttpRequest, number: str) -> HttpResponse:
    """Every change of all that the balance of a license is made of, the newest first."""
    changes = of_license(ids_of(number), older_than=number_in(request, "older_than"), at_most=PAGE_SIZE + 1)
    shown = {
        "number": number,
        "is_there": License.objects.filter(license_number=number).exists(),
        "changes": changes[:PAGE_SIZE],
        "older_than": changes[PAGE_SIZE - 1].pk if len(changes) > PAGE_SIZE else None,
    }
    return render(request, "desk/license_trail.html", shown)


def ids_of(number: str) -> list[int]:
    """Of the license that has this number, and of those that had it and are gone: else whoever deletes a license and
    enters it anew would hide what was done. Where there are none, of those that have another now. Raises Http404."""
    ids = [] if "\0" in number else queries.column("as_of_license_ids", license_number=number)
    if not ids:
        raise Http404(f"There is no license {number!r}, and was none since the trail began.")
    renamed = License.objects.filter(pk__in=ids).exclude(license_number=number).values_list("pk", flat=True)
    return sorted(set(ids) - set(renamed)) or sorted(ids)


@page(TRAIL, "license.view_license")
def license_trail_csv(_: HttpRequest, number: str) -> HttpResponseBase:
    """All of it as a file for an inspection, the newest first."""
    return _sent(every_change_of(ids_of(number)), f"trail-{number}")


def every_change_of(license_ids: Sequence[int]) -> Iterator[list[Cell]]:
    """Of all that the balances of licenses are made of, the newest first; in the order of CSV."""
    entries = queries.stream("trail_of_license", license_ids=license_ids, older_than=None, at_most=None)
    for some in in_parts(entries, AT_ONCE):
        yield from map(_row, in_words(some, license_ids))


@page(TRAIL)
def trail_csv(request: HttpRequest) -> HttpResponseBase:
    """Every row that the statements wrote which the filter finds, the newest first; a filter that makes no sense is no
    file (400)."""
    asked = TrailFilter(request.GET, queryset=TrailStatement.objects.order_by("-pk"))
    if not asked.is_valid():
        reason = " ".join(error for errors in asked.errors.values() for error in errors)
        return render(request, "desk/no_file.html", {"reason": reason}, status=400)
    return _sent(every_change(asked.qs), "trail")


def every_change(statements: QuerySet[TrailStatement]) -> Iterator[list[Cell]]:
    """That these statements made; in the order of CSV."""
    for some in in_parts(statements.values_list("pk", flat=True).iterator(AT_ONCE), AT_ONCE):
        for entries in in_parts(queries.stream("trail_of_statements", statement_ids=some), AT_ONCE):
            yield from map(_row, in_words(entries))


def in_parts(rows: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Lists of so many, and of what is left."""
    while part := list(islice(rows, size)):
        yield part


def _row(change: Change) -> list[Cell]:
    by = change.statement
    return [
        moment(by.written_at), by.user_name, by.via, by.role, by.application, by.address, by.operation, change.table,
        change.row_id, change.subject, change.what,
        "; ".join(f"{field.name}: {field.told}" for field in change.fields),
        _json(change.before), _json(change.after), by.pk, by.transaction_id, by.statement,
    ]  # fmt: skip


def _json(image: dict[str, Any] | None) -> str:
    return "" if image is None else json.dumps(image, ensure_ascii=False, cls=DjangoJSONEncoder)


def _sent(rows: Iterator[list[Cell]], name: str) -> HttpResponseBase:
    return StreamingHttpResponse(
        csv_lines(CSV, rows), content_type="text/csv; charset=utf-8", headers=named(name, "csv")
    )

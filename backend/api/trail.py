"""Who changed what, and balances as of a date: the pages of auditors, for programs."""

from datetime import date
from typing import Annotated, Any, Literal

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Query, Router

from api import problems, schemas
from api.auth import may
from api.explained import explanation
from api.following import NUMBERED
from api.schemas import BIGINT_MAX, MOST_ROWS, Page, Paging, Words
from desk.as_of import SEES
from desk.trail import TRAIL, TrailFilter, ids_of
from ledger.as_of import Balance, Moment, UnknownError, balances
from ledger.explain import explain_as_of
from ledger.models import TrailStatement
from ledger.sql import queries
from ledger.trail_words import MODELS, Change, of_license, of_statement
from license.models import License

router = Router(tags=["trail"])
Number = Annotated[str, Path(max_length=20, pattern=r"^[^\x00]+$")]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]
OlderThan = Annotated[int | None, Query(ge=1, le=BIGINT_MAX, description="The `next` of the answer before.")]
Until = Annotated[date | None, Query(description="Documents until this day count; all, if not said.")]
Known = Annotated[date | None, Query(description="As known at the end of this day in India; now, if not said.")]
ANSWER: Any = {200: schemas.Explanation, 404: None, 409: None}
ANSWERS: Any = {200: Page[schemas.BalanceAsOf], 409: None}


@router.get("/licenses/{number}/as-of", response=ANSWER, operation_id="explain_license_as_of")
@may(*SEES)
def license_as_of(request: HttpRequest, number: Number, until: Until = None, known: Known = None) -> Any:
    """What a license had left as of a date, with all that it was made of. `stored_balance_cif` is what was shown at the
    moment that was known, `computed_at` since when."""
    try:
        return explanation(explain_as_of(number, Moment.of(until, known)))
    except UnknownError as error:
        return problems.problem(409, f"{error}")
    except License.DoesNotExist:
        raise Http404(f"There was no license {number}.") from None


@router.get("/as-of", response=ANSWERS, operation_id="list_balances_as_of")
@may(*SEES)
def as_of(request: HttpRequest, paging: Query[Paging], until: Until = None, known: Known = None) -> Any:
    """Every license that there is, or has been since the trail began. Those that were not there at that moment are left
    out: a page may be shorter than `limit`, and is not the last for that; `count` is of all."""
    try:
        moment = Moment.of(until, known)
    except UnknownError as error:
        return problems.problem(409, f"{error}")
    ids = queries.column("as_of_licenses")
    found = balances(moment, ids[paging.offset :][: paging.limit])
    return {"items": [_balance(row) for row in found], "count": len(ids)}


def _balance(row: Balance) -> dict[str, Any]:
    same = ("license_number", "exporter", "currency", "license_date", "license_expiry_date", "shown_balance_cif")
    return {name: getattr(row, name) for name in same} | {"balance": {name: getattr(row, name) for name in NUMBERED}}


@router.get("/licenses/{number}/trail", response=schemas.Trail, operation_id="trail_of_license")
@may(TRAIL, "license.view_license")
def license_trail(request: HttpRequest, number: Number, limit: Limit = 100, older_than: OlderThan = None) -> Any:
    """Every change of all that the balance of a license is made of, the newest first."""
    changes = of_license(ids_of(number), older_than=older_than, at_most=limit + 1)
    shown = changes[:limit]
    return {"items": [_change(change) for change in shown], "next": shown[-1].pk if len(changes) > limit else None}


@router.get("/trail", response=schemas.Statements, operation_id="list_trail")
@may(TRAIL)
def trail(
    request: HttpRequest,
    user: Words = "",
    kind: Annotated[Literal[tuple(MODELS)] | None, Query(description="A table of facts.")] = None,  # type: ignore[valid-type]
    since: Annotated[date | None, Query(description="In India.")] = None,
    until: Annotated[date | None, Query(description="The last day.")] = None,
    limit: Limit = 100,
    older_than: OlderThan = None,
) -> Any:
    """Every statement that wrote facts, the newest first."""
    asked = {"user": user, "kind": kind or "", "since": f"{since or ''}", "until": f"{until or ''}"}
    found = TrailFilter(asked, queryset=TrailStatement.objects.order_by("-pk")).qs
    rows = list((found.filter(pk__lt=older_than) if older_than else found)[: limit + 1])
    return {
        "items": [_statement(row) for row in rows[:limit]],
        "next": rows[limit - 1].pk if len(rows) > limit else None,
    }


@router.get("/trail/{statement_id}", response=schemas.Trail, operation_id="trail_of_statement")
@may(TRAIL)
def statement(
    request: HttpRequest,
    statement_id: Annotated[int, Path(ge=1, le=BIGINT_MAX)],
    limit: Limit = 100,
    after: Annotated[int, Query(ge=0, le=BIGINT_MAX, description="The `next` of the answer before.")] = 0,
) -> Any:
    """Each row that a statement wrote, in its order."""
    get_object_or_404(TrailStatement, pk=statement_id)
    changes = of_statement(statement_id, after=after, at_most=limit + 1)
    shown = changes[:limit]
    return {"items": [_change(change) for change in shown], "next": shown[-1].pk if len(changes) > limit else None}


def _change(change: Change) -> dict[str, Any]:
    return {
        "id": change.pk,
        "statement": _statement(change.statement),
        "table": change.table,
        "row_id": change.row_id,
        "about": change.subject,
        "what": change.what,
        "fields": [{"name": field.name, "before": field.before, "after": field.after} for field in change.fields],
        "before": _as_text(change.before),
        "after": _as_text(change.after),
    }


def _as_text(image: dict[str, Any] | None) -> dict[str, str | None] | None:
    """Numbers as text, as everywhere here."""
    return image and {column: None if value is None else _text(value) for column, value in image.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _statement(row: TrailStatement) -> dict[str, Any]:
    return {name: getattr(row, name) for name in schemas.Statement.model_fields}

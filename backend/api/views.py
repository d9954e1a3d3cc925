"""The API, version 1: what the pages show and do, for programs. Each asks for the permissions of its page."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import uuid4

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from ninja import NinjaAPI, Path, Query, Status

from api import problems, schemas, trail
from api.auth import AUTH, may
from api.explained import explanation
from api.following import FOLLOW, NUMBERED, page
from api.schemas import BIGINT_MAX, Page, Paging, Words
from desk.allot import MOST_TRIED
from desk.files import snapshot
from desk.licenses import SORTS, STATES, LicenseFilter, all_licenses, in_order, with_marks
from desk.standing import MORE, NEW
from ledger import allotting, feed, find
from ledger.explain import explain
from ledger.models import Allotment
from ledger.overdraw import OverdrawsError
from license.clock import business_date
from license.models import Company, ImportItem, License, SionNorm
from reconcile import freshness
from reconcile.models import Finding, FindingKind, ReconciliationRun
from reconcile.report import drift_of, findings_of, words
from reconcile.sql import queries

BALANCES = ("license.view_license", "ledger.view_licensebalance")
ALLOTMENT = "ledger.view_allotment"
RUN = "reconcile.view_reconciliationrun"
Id = Annotated[int, Path(ge=1, le=BIGINT_MAX)]
Number = Annotated[str, Path(max_length=20, pattern=r"^[^\x00]+$")]


class Api(NinjaAPI):
    """Documents the problems of every operation."""

    def get_openapi_schema(self, **options: Any) -> Any:
        """OpenAPI 3.1."""
        schema = super().get_openapi_schema(**options)
        problems.document(schema, {404: "There is none", 409: "It would overdraw, or it is not so any more"})
        return schema


api = Api(
    title="License balances",
    version="1",
    description="Balances of import licenses, as on the pages. Numbers are text, exact to the last place; today is the "
    "date in India.",
    auth=AUTH,
)
problems.register(api)
api.add_router("", trail.router)


# ── Licenses ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@api.get("/licenses", response=Page[schemas.License], tags=["licenses"], operation_id="list_licenses")
@may(*BALANCES)
def licenses(
    request: HttpRequest,
    paging: Query[Paging],
    q: Words = "",
    state: Annotated[Literal[tuple(STATES)] | None, Query(description="As in the list.")] = None,  # type: ignore[valid-type]
    sort: Annotated[Literal[tuple(SORTS)] | None, Query(description="As in the list.")] = None,  # type: ignore[valid-type]
) -> dict[str, Any]:
    """The list of licenses, with balances as stored: searched by number, exporter or file number."""
    found = LicenseFilter({"q": q, "state": state or ""}, queryset=License.objects.all()).qs
    ids = list(in_order(found, sort).values_list("pk", flat=True)[paging.offset :][: paging.limit])
    rows = with_marks(list(in_order(all_licenses().filter(pk__in=ids), sort)))
    return {"items": [_license(row, [said for _, said in marks]) for row, marks in rows], "count": found.count()}


def _license(license: License, state: list[str]) -> dict[str, Any]:
    exporter = license.exporter
    balance = getattr(license, "balance", None)
    return {
        "license_id": license.pk,
        "license_number": license.license_number,
        "license_date": license.license_date,
        "license_expiry_date": license.license_expiry_date,
        "currency": license.currency,
        "file_number": license.file_number,
        "exporter": exporter.name if exporter else None,
        "exporter_iec": exporter.iec if exporter else None,
        "balance": balance and {name: getattr(balance, name) for name in NUMBERED},
        "state": state,
    }


@api.get("/licenses/{number}", response=schemas.Explanation, tags=["licenses"], operation_id="explain_license")
@may(*BALANCES)
def license(request: HttpRequest, number: Number) -> dict[str, Any]:
    """One license, computed from its facts now, in one snapshot: its balance, what is left of each item and by which
    rule, and every line that counts."""
    try:
        explained = explain(number)
    except License.DoesNotExist:
        raise Http404(f"There is no license {number}.") from None
    return explanation(explained)


# ── Following ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Position = Annotated[
    int | None,
    Query(ge=0, le=BIGINT_MAX, description="The `next` of the last answer. Without it the answer is where to begin."),
]


@api.get("/changes", response={200: schemas.Changes, 409: None}, tags=["following"], operation_id="list_changes")
@may(*FOLLOW)
def changes(
    request: HttpRequest, after: Position = None, limit: Annotated[int, Query(ge=1, le=schemas.MOST_ROWS)] = 100
) -> Any:
    """Every change of a balance after a position, in an order that misses none. To begin with ask without `after`, then
    list all licenses, then ask for what comes after `next`."""
    feed.publish()
    if after is None:
        return {"items": [], "next": feed.newest(), "more": False}
    if not feed.is_known(after):
        return problems.problem(
            409,
            f"There is no change {after} here: it is of other data than these, or kept no more. Begin anew: ask "
            "without `after`, and list all licenses.",
        )
    return page(after, limit)


# ── Finding and allotting ─────────────────────────────────────────────────────────────────────────────────────────────


@api.get("/find", response={200: schemas.FoundPage, 404: None}, tags=["allotting"], operation_id="find_items")
@may(*BALANCES)
def find_items(
    request: HttpRequest,
    paging: Query[Paging],
    item: Words = "",
    norm: Words = "",
    quantity: schemas.QuantityIn | None = None,
    unit_price: schemas.QuantityIn = Decimal(0),
    unit: Words | None = None,
    currency: Words | None = None,
    valid_on: date | None = None,
    expired: bool = False,
) -> dict[str, Any]:
    """Who has so much of an input: items by words of their description or name, or by HS code, and by norm, that have 1
    or more of their unit left and some value, on licenses that are valid today or on the day asked for."""
    wanted = _wanted(item, norm, unit, currency, None if expired else valid_on or business_date())
    with snapshot():
        sums = find.totals(wanted)
        rows = find.find(wanted, count=paging.limit, start=paging.offset)
    return {
        "items": [_found(row, quantity, unit_price) for row in rows],
        "count": sums.items,
        "licenses": sums.licenses,
        "quantities": sums.quantities,
        "values": sums.values,
    }


def _wanted(item: str, norm: str, unit: str | None, currency: str | None, valid_on: date | None) -> find.Wanted:
    norm_id = SionNorm.objects.filter(code=norm).values_list("pk", flat=True).first() if norm else None
    if norm and norm_id is None:
        raise Http404(f"There is no norm {norm}.")
    wanted = find.Wanted(item, norm_id, unit, currency, valid_on)
    if item and not wanted.is_said():
        raise Http404(f"“{item}” names no item: say words of its description, its name, or its HS code.")
    return wanted


def _found(row: find.Found, quantity: Decimal | None, unit_price: Decimal) -> dict[str, Any]:
    left, value = row.available_quantity, row.available_value
    same = ("license_number", "license_expiry_date", "exporter", "serial_number", "description", "hs_code", "unit",
            "norms", "available_quantity", "available_value", "currency")  # fmt: skip
    return {
        **{name: getattr(row, name) for name in same},
        "item_names": row.names,
        "can_take": None if quantity is None else allotting.most(quantity, unit_price, left, value, row.unit),
    }


@api.post(
    "/proposals",
    response={200: schemas.Proposal, 404: None, 409: None},
    tags=["allotting"],
    operation_id="propose",
)
@may(*NEW)
def proposals(request: HttpRequest, wish: schemas.Wish) -> Any:
    """Split what is wanted over the licenses that have it, earliest expiry first: each item takes the most that it can
    beside those before it, by its balance and its pools too. Reserves nothing."""
    valid_on = wish.valid_on or business_date()
    wanted = _wanted(wish.item, wish.norm, wish.unit, wish.currency, valid_on)
    sums = find.totals(wanted)
    if len(sums.quantities) > 1 or len(sums.values) > 1:
        several = ", ".join([*(unit or "no unit" for unit in sums.quantities), *sums.values])
        return problems.problem(409, f"A proposal is of one unit and one currency: choose among {several}.")
    found = [each.import_item_id for each in find.find(wanted, count=MOST_TRIED)]
    shares = allotting.propose(found, wish.quantity, wish.unit_price)
    items = ImportItem.objects.select_related("license").in_bulk([share.import_item_id for share in shares])
    return {
        "shares": [_proposed(items[share.import_item_id], share) for share in shares if share.import_item_id in items],
        "missing": wish.quantity - sum((share.quantity for share in shares), Decimal(0)),
    }


def _proposed(item: ImportItem, share: allotting.Share) -> dict[str, Any]:
    license = item.license
    return {
        "license_number": license.license_number,
        "serial_number": item.serial_number,
        "license_expiry_date": license.license_expiry_date,
        "quantity": share.quantity,
        "cif_fc": share.cif_fc,
        "unit": item.unit,
        "currency": license.currency,
    }


ALLOTTED: Any = {201: schemas.Allotment, 409: None}


@api.post("/allotments", response=ALLOTTED, tags=["allotting"], operation_id="allot")
@may(*NEW)
def allot(request: HttpRequest, new: schemas.NewAllotment) -> Any:
    """Reserve parts of import items for a new allotment, all or none, only where the licenses still have them: counted
    from facts, while nobody else draws on them."""
    company = Company.objects.filter(iec=new.company_iec).first()
    if company is None:
        return problems.problem(409, f"There is no company with the IEC {new.company_iec}: enter it first.")
    same = ("type", "item_name", "required_quantity", "unit_price", "estimated_arrival_date", "last_day")
    return _allot(request, Allotment(company=company, **{name: getattr(new, name) for name in same}), new)


@api.post("/allotments/{allotment_id}/lines", response=ALLOTTED, tags=["allotting"], operation_id="allot_more")
@may(*MORE)
def allot_more(request: HttpRequest, allotment_id: Id, more: schemas.Shares) -> Any:
    """Reserve more for an allotment that there is. On an item of which it has a part already it comes on top."""
    return _allot(request, get_object_or_404(Allotment, pk=allotment_id), more)


def _allot(request: HttpRequest, allotment: Allotment, asked: schemas.Shares) -> Any:
    try:
        shares = [_share(share) for share in asked.shares]
        key = asked.key or uuid4()  # by which it is also written down who has allotted
        done = allotting.allot(allotment, shares, by=request.user, confirmation=asked.confirmation, key=key).pk
    except allotting.AllottedAlreadyError as before:
        done = before.allotment_id
    except Allotment.DoesNotExist:
        raise Http404("There is no such allotment any more.") from None
    except allotting.RefusedError as refused:
        return problems.problem(409, f"{refused}")
    except OverdrawsError as error:
        who = "" if request.user.has_perm(allotting.OVERDRAW) else " Only an administrator may confirm that."
        return problems.problem(
            409,
            f"Nothing is allotted, for it would overdraw.{who}",
            type="overdraws",
            overdraws=list(error.sentences),
            confirmation=error.confirmation(),
        )
    return Status(201, _allotment(done))


def _share(share: schemas.Share) -> allotting.Share:
    """Raises RefusedError."""
    number, serial = share.license_number, share.serial_number
    items = ImportItem.objects.filter(license__license_number=number, serial_number=serial)
    pk = items.values_list("pk", flat=True).first()
    if pk is None:
        raise allotting.RefusedError(f"License {number} has no item {serial}, or there is no such license.")
    return allotting.Share(pk, share.quantity, share.cif_fc)


@api.get("/allotments/{allotment_id}", response=schemas.Allotment, tags=["allotting"], operation_id="get_allotment")
@may(ALLOTMENT)
def allotment(request: HttpRequest, allotment_id: Id) -> dict[str, Any]:
    """One allotment, with what it reserves."""
    return _allotment(allotment_id)


def _allotment(pk: int) -> dict[str, Any]:
    found = get_object_or_404(Allotment.objects.select_related("company", "release"), pk=pk)
    same = ("id", "type", "item_name", "required_quantity", "unit_price", "estimated_arrival_date", "last_day",
            "created_at")  # fmt: skip
    bills = [f"{bill}" for bill in found.bills_of_entry.order_by("date", "number")]
    lines = found.lines.select_related("import_item__license").order_by(
        "import_item__license__license_number", "import_item__serial_number"
    )
    return {
        **{name: getattr(found, name) for name in same},
        "company": found.company.name,
        "company_iec": found.company.iec,
        "is_reserving": not bills and not hasattr(found, "release"),
        "bills_of_entry": bills,
        "lines": [
            {
                "license_number": line.import_item.license.license_number,
                "serial_number": line.import_item.serial_number,
                "quantity": line.quantity,
                "cif_fc": line.cif_fc,
                "currency": line.import_item.license.currency,
            }
            for line in lines
        ],
    }


@api.post("/allotments/{allotment_id}/give-up", response=schemas.Allotment, tags=["allotting"], operation_id="give_up")
@may(ALLOTMENT, "ledger.add_allotmentrelease")
def give_up(request: HttpRequest, allotment_id: Id) -> dict[str, Any]:
    """Let an allotment reserve nothing any more. What is released by a bill of entry, or given up, stays as it is."""
    allotting.give_up(get_object_or_404(Allotment, pk=allotment_id), by=request.user)
    return _allotment(allotment_id)


# ── The system ────────────────────────────────────────────────────────────────────────────────────────────────────────


@api.get("/pending", response=schemas.Pending, tags=["system"], operation_id="pending")
@may(RUN)
def pending(request: HttpRequest) -> dict[str, Any]:
    """How far the stored balances are behind their facts."""
    now = freshness.look()
    return {
        "changes": now.pending,
        "oldest_seconds": now.oldest_age.total_seconds() if now.oldest_age is not None else None,
        "licenses": len(queries.column("pending")),
        "quarantined": now.quarantined,
        "relays": now.relays,
    }


@api.get("/runs", response=Page[schemas.Run], tags=["system"], operation_id="list_runs")
@may(RUN)
def runs(request: HttpRequest, paging: Query[Paging]) -> dict[str, Any]:
    """Every reconciliation, the newest first."""
    found = ReconciliationRun.objects.order_by("-pk")
    return {"items": [_run(run) for run in found[paging.offset :][: paging.limit]], "count": found.count()}


def _run(run: ReconciliationRun) -> dict[str, Any]:
    names = schemas.Run.model_fields.keys() - {"findings"}
    return {**{name: getattr(run, name) for name in names}, "findings": run.finding_counts}


@api.get("/runs/{run_id}/drift", response=Page[schemas.Drift], tags=["system"], operation_id="list_drift")
@may(RUN, "reconcile.view_drift")
def drift(request: HttpRequest, run_id: Id, paging: Query[Paging]) -> dict[str, Any]:
    """What was not equal to its facts when a run looked at it."""
    found = drift_of(get_object_or_404(ReconciliationRun, pk=run_id))
    names = schemas.Drift.model_fields.keys() - {"evidence"}
    rows = [
        {**{name: getattr(row, name) for name in names}, "evidence": row.told}
        for row in found[paging.offset :][: paging.limit]
    ]
    return {"items": rows, "count": found.count()}


@api.get("/runs/{run_id}/findings", response=Page[schemas.Finding], tags=["system"], operation_id="list_findings")
@may(RUN, "reconcile.view_finding")
def findings(request: HttpRequest, run_id: Id, kind: FindingKind, paging: Query[Paging]) -> dict[str, Any]:
    """What a run left for people to look at, of one kind."""
    run = get_object_or_404(ReconciliationRun, pk=run_id)
    found = findings_of(run, kind)
    rows = [_finding(row, run.business_date) for row in found[paging.offset :][: paging.limit]]
    return {"items": rows, "count": found.count()}


def _finding(row: Finding, business_date: date) -> dict[str, Any]:
    same = ("kind", "license_number", "serial_number", "currency", "amount", "quantity")
    return {**{name: getattr(row, name) for name in same}, "words": words(row, business_date)}

"""Customs' newest ledgers against ours, both ways: what differs (`mismatches`), and the actions by which people settle
it.

A mismatch is looked up, never stored (sql/mismatches.sql): it is gone when the facts say so, whoever put them right.
Every action here is recorded with who and when (`Settlement`), in the transaction that does it. None can overdraw: they
release what is reserved, or take away a debit that counts twice.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q, Sum
from django.db.models.base import ModelState

from ledger.allotting import CENT, Person
from ledger.models import (
    UNCONFIRMED,
    Allotment,
    AllotmentLine,
    BillOfEntry,
    BillOfEntryLine,
    MismatchKind,
    Settlement,
    TransactionType,
)
from ledger.overdraw import take_turns
from ledger.sql import queries
from license.formats import day, indian, money

PARTS = {
    "totals": "its own debits do not come to that by",
    "entitlement": "our export items add up to other than its CIF-FC by",
    "edited": "its debits were changed since they were loaded by",
}
"""What makes an imbalance, by name in its details."""


class ChangedError(Exception):
    """Nothing was done: this mismatch is settled, or is another than the one that was seen."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something in which customs' newest ledger of a license and ours differ."""

    kind: MismatchKind
    license_id: int
    license_number: str
    currency: str
    serial_number: int | None
    """Of the import item, if it is one."""
    subject_id: int
    """Of the allotment, line, bill of entry or license, by kind."""
    other_id: int | None
    """Of the bill of entry that has probably used the allotment, or that the bill is probably one with."""
    amount: Decimal
    """What it is about; of an imbalance with its sign: more than 0 is more with us."""
    quantity: Decimal | None
    figures: str
    ledger_as_of: date | None
    details: dict[str, Any]
    """What else there is to say, by kind; numbers are text."""

    @property
    def seen(self) -> str:
        """What says that this very mismatch, with these numbers, has been seen."""
        said = (self.kind, self.license_id, self.subject_id, self.other_id, f"{self.amount}", self.details)
        return hashlib.sha256(repr(said).encode()).hexdigest()

    @property
    def sentence(self) -> str:
        """With the numbers, without the license and without a full stop."""
        return words(self.kind, self.currency, self.amount, self.quantity, self.details)


@dataclass(frozen=True, slots=True)
class Overview:
    """How many mismatches are open of each kind, and some of one kind, the worst amount first, by currency."""

    counts: dict[MismatchKind, int]
    kind: MismatchKind | None
    """The one that was asked for, or the first of which there are any."""
    mismatches: list[Mismatch]


def overview(
    kind: MismatchKind | None, license_ids: Sequence[int] | None = None, *, start: int, count: int
) -> Overview:
    """Of these licenses, or of all: so many of a kind from the `start`th on, or the last ones."""
    rows = queries.dicts(
        "overview_of_mismatches",
        **_parameters(None, license_ids),
        asked=kind,
        kinds=MismatchKind.values,
        start=start,
        count=count,
    )
    found, chosen = json.loads(rows[0]["counts"]), rows[0]["chosen"]
    return Overview(
        counts={each: found.get(each, 0) for each in MismatchKind},
        kind=MismatchKind(chosen) if chosen else None,
        mismatches=[_mismatch(row) for row in rows if row["kind"]],
    )


def mismatches(
    kind: MismatchKind, license_ids: Sequence[int] | None = None, *, subject_id: int | None = None
) -> list[Mismatch]:
    """All that is open of a kind, of these licenses or of all: the worst amount first, by currency."""
    rows = queries.dicts("list_mismatches", **_parameters(kind, license_ids), subject_id=subject_id)
    return [_mismatch(row) for row in rows]


def counts(license_ids: Sequence[int] | None = None) -> dict[MismatchKind, int]:
    """How many are open of each kind."""
    return overview(None, license_ids, start=0, count=1).counts


def _parameters(kind: MismatchKind | None, license_ids: Sequence[int] | None) -> dict[str, Any]:
    """Those of mismatches.sql."""
    return {"kind": kind, "of_licenses": None if license_ids is None else list(license_ids)}


def _mismatch(row: Mapping[str, Any]) -> Mismatch:
    fields = {name: row[name] for name in Mismatch.__slots__}
    return Mismatch(**fields | {"kind": MismatchKind(row["kind"]), "details": json.loads(row["details"])})


def find(kind: MismatchKind, license_id: int, subject_id: int) -> Mismatch | None:
    """The one of this license and subject, if it is open."""
    return next(iter(mismatches(kind, [license_id], subject_id=subject_id)), None)


@dataclass(frozen=True, slots=True)
class Bridge:
    """From what customs has left of a license to what we have. The parts add up to the difference."""

    as_of: date
    is_reckoned: bool
    """The ledger has no Bal.CIF-FC: its CIF-FC less its debits stands for it."""
    customs_balance_cif: Decimal
    totals: Decimal
    """By so much its own debits do not come to its balance."""
    entitlement: Decimal
    """Our export items less its CIF-FC."""
    edited: Decimal
    """Its debits, as they were changed since they were loaded."""
    unconfirmed: Decimal
    """Debits of ours that it does not show."""
    later: Decimal
    """Debits of ours that are later than it."""
    allotted: Decimal
    """Open allotments, of which customs does not know."""
    raw: Decimal
    """Our balance; below 0 it is overdrawn."""


def bridge(license_id: int) -> Bridge | None:
    """None where no ledger of the license was loaded since this is kept."""
    for row in queries.dicts("customs_bridge", of_licenses=[license_id]):
        return Bridge(**{name: row[name] for name in Bridge.__slots__})
    return None


# ── What people do ────────────────────────────────────────────────────────────────────────────────────────────────────


def convert(mismatch: Mismatch, bill_of_entry_id: int, *, keep_rest: bool, by: Person, reason: str = "") -> None:
    """Link an allotment to the bill of entry that has used it, which releases it whole. With `keep_rest` only what the
    bill has taken is released: that becomes an allotment of its own, at the price of the first, which goes on with the
    rest. Raises ChangedError."""
    with transaction.atomic(durable=True):
        bill = BillOfEntry.objects.select_for_update(no_key=True).filter(pk=bill_of_entry_id).first()
        allotment = Allotment.objects.select_for_update().filter(pk=mismatch.subject_id).first()
        _must_be_as_seen(mismatch)
        candidates = {mismatch.other_id, *(other["bill_of_entry_id"] for other in mismatch.details["others"])}
        if allotment is None or bill is None or bill.pk not in candidates:
            raise ChangedError
        said = f"{_allotment(mismatch)} is converted into {bill}: {_reserved(allotment)}"
        if keep_rest and (taken := _split(allotment, bill)):
            taken.bills_of_entry.add(bill)
            what = f"what {bill} has taken, {_reserved(taken)}, is {taken}, and converted"
            said = f"{_allotment(mismatch)}: {what}; the rest goes on"
        else:
            allotment.bills_of_entry.add(bill)
        _record(mismatch, f"{said}.", by=by, reason=reason, other_id=bill.pk)


def keep(mismatch: Mismatch, *, by: Person, reason: str, until_next_ledger: bool = False) -> None:
    """Change nothing, and show this mismatch no more: until its figures are others, or, if so wanted, the license has a
    newer ledger. Of an allotment: none of the bills that may have used it has; another debit is a mismatch anew. Of two
    bills: they are two. Raises ChangedError."""
    with transaction.atomic(durable=True):
        _must_be_as_seen(mismatch)
        if mismatch.kind == MismatchKind.UNCONVERTED:
            for bill_id, bill in _bills(mismatch).items():
                sentence = f"{_allotment(mismatch)}: {bill} has not used it."
                _record(mismatch, sentence, by=by, reason=reason, is_kept=True, other_id=bill_id)
            return
        until = mismatch.ledger_as_of if until_next_ledger else None
        wait = f", until there is a ledger newer than that of {day(until)}" if until else ""
        said = "they are two" if mismatch.kind == MismatchKind.TWIN else "it stays as it is"
        _record(mismatch, f"{mismatch.sentence}: {said}{wait}.", by=by, reason=reason, is_kept=True, ledger_as_of=until)


def take_out(mismatch: Mismatch, *, by: Person, reason: str) -> None:
    """Delete a debit that customs does not have, and its bill of entry if nothing else hangs on that. Raises
    ChangedError."""
    with transaction.atomic(durable=True):
        lines = BillOfEntryLine.objects.filter(pk=mismatch.subject_id)
        bill = BillOfEntry.objects.select_for_update().filter(lines__in=lines).first()
        line = lines.select_for_update().first()
        _must_be_as_seen(mismatch)
        if line is None or bill is None:
            raise ChangedError
        line.delete()
        if not bill.lines.exists() and not bill.allotments.exists():
            bill.delete()
        _record(mismatch, f"{mismatch.sentence}: taken out.", by=by, reason=reason)


def merge(mismatch: Mismatch, *, by: Person, reason: str = "") -> None:
    """Make two bills of entry one: customs'. What customs does not confirm of ours goes over to it; on an item that is
    debited on both, customs' figures stand. On an item of another license, where customs confirms neither, ours keeps
    its debit. What is released by ours is released by it. Raises ChangedError."""
    with transaction.atomic(durable=True):
        pair = BillOfEntry.objects.select_for_update().filter(pk__in=[mismatch.subject_id, mismatch.other_id])
        bills = {bill.pk: bill for bill in pair.order_by("pk")}
        released = Allotment.objects.filter(bills_of_entry=mismatch.subject_id).order_by("pk")
        allotments = list(released.select_for_update(of=("self",), no_key=True))
        _must_be_as_seen(mismatch)
        ours, theirs = bills.get(mismatch.subject_id), bills.get(mismatch.other_id or 0)
        if ours is None or theirs is None:
            raise ChangedError
        there = theirs.lines.values_list("import_item", "transaction_type")
        taken = set(there)
        stand = set(there.filter(Q(import_item__license=mismatch.license_id) | ~UNCONFIRMED))
        for line in ours.lines.select_for_update().filter(UNCONFIRMED):
            place = (line.import_item_id, line.transaction_type)
            if place in stand:
                line.delete()
            elif place not in taken:
                line.bill_of_entry = theirs
                line.save(update_fields=["bill_of_entry"])
        theirs.allotments.add(*allotments)
        if not ours.lines.exists():
            ours.delete()
            of_day = BillOfEntry.objects.filter(number=theirs.number, date=theirs.date)
            for name in ("port_id", "company_id", "exchange_rate"):
                value = getattr(ours, name)
                if getattr(theirs, name) is None and not (name == "port_id" and of_day.filter(port=value).exists()):
                    setattr(theirs, name, value)
            theirs.save()
        _record(mismatch, f"{mismatch.sentence}: made one.", by=by, reason=reason)


def _must_be_as_seen(mismatch: Mismatch) -> None:
    """Raises ChangedError unless it is there as it was seen; nobody else settles one of this license meanwhile."""
    take_turns([mismatch.license_id])
    now = find(mismatch.kind, mismatch.license_id, mismatch.subject_id)
    if now is None or now.seen != mismatch.seen:
        raise ChangedError


def _record(
    mismatch: Mismatch,
    sentence: str,
    *,
    by: Person,
    reason: str,
    is_kept: bool = False,
    other_id: int | None = None,
    ledger_as_of: date | None = None,
) -> None:
    Settlement.objects.create(
        kind=mismatch.kind,
        license_id=mismatch.license_id,
        subject_id=mismatch.subject_id,
        other_id=other_id or mismatch.other_id,
        is_kept=is_kept,
        figures=mismatch.figures,
        ledger_as_of=ledger_as_of,
        sentence=sentence[:1].upper() + sentence[1:],
        reason=reason,
        settled_by=by.get_username(),
    )


def _split(allotment: Allotment, bill: BillOfEntry) -> Allotment | None:
    """Make what a bill has taken of an allotment, and no other allotment accounts for, an allotment of its own, at the
    price of the first. None, and nothing is done, where nothing would be left of the first."""
    taken = {
        line: part for line in allotment.lines.select_for_update().order_by("pk") if any(part := _taken(line, bill))
    }
    if all(taken.get(line) == (line.quantity, line.cif_fc) for line in allotment.lines.all()):
        return None
    quantity = min(allotment.required_quantity, sum((quantity for quantity, _ in taken.values()), Decimal(0)))
    part_of_it = copy(allotment)
    part_of_it.pk, part_of_it._state = None, ModelState()
    part_of_it.required_quantity = quantity
    part_of_it.save(force_insert=True)
    allotment.required_quantity -= quantity
    allotment.save(update_fields=["required_quantity"])
    for line, (quantity, cif_fc) in taken.items():
        share, whole = (cif_fc, line.cif_fc) if line.cif_fc else (quantity, line.quantity)
        cif_inr = (line.cif_inr * share / whole).quantize(CENT, ROUND_HALF_UP)
        part_of_it.lines.create(import_item_id=line.import_item_id, quantity=quantity, cif_fc=cif_fc, cif_inr=cif_inr)
        if (quantity, cif_fc) == (line.quantity, line.cif_fc):
            line.delete()
            continue
        line.quantity -= quantity
        line.cif_fc -= cif_fc
        line.cif_inr -= cif_inr
        line.save()
    return part_of_it


def _taken(line: AllotmentLine, bill: BillOfEntry) -> tuple[Decimal, Decimal]:
    """How much of an allotment's line a bill has taken that no other allotment accounts for: by quantity where both
    have one, else by value."""
    debit = bill.lines.filter(import_item=line.import_item_id, transaction_type=TransactionType.DEBIT).first()
    if debit is None:
        return Decimal(0), Decimal(0)
    others = AllotmentLine.objects.filter(import_item=line.import_item_id, allotment__bills_of_entry=bill)
    known = others.aggregate(quantity=Sum("quantity", default=Decimal(0)), cif_fc=Sum("cif_fc", default=Decimal(0)))
    if line.quantity and debit.quantity:
        quantity = min(line.quantity, max(debit.quantity - known["quantity"], Decimal(0)))
        return quantity, (line.cif_fc * quantity / line.quantity).quantize(CENT, ROUND_HALF_UP)
    return Decimal(0), min(line.cif_fc, max(debit.cif_fc - known["cif_fc"], Decimal(0)))


# ── In words ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def words(kind: str, currency: str, amount: Decimal, quantity: Decimal | None, details: Mapping[str, Any]) -> str:
    """A mismatch in a sentence, with the numbers, without its license and item."""
    return _WORDS[MismatchKind(kind)](currency, amount, quantity, details)


def bill_in_words(number: str, when: str | None, port: str | None) -> str:
    """BE 4711 of 05 Nov 2026, INNSA1: as much of it as is known."""
    of = f" of {_day(when)}" if when else ""
    return f"BE {number}{of}" + (f", {port}" if port else "")


def bridge_in_words(license_id: int) -> Iterator[tuple[str, Decimal]]:
    """From customs' balance of a license to ours, part by part, without those that are nothing; none without a
    ledger."""
    found = bridge(license_id)
    if found is None:
        return
    reckoned = ", reckoned from its debits" if found.is_reckoned else ""
    yield f"Customs’ balance, by its ledger of {day(found.as_of)}{reckoned}", found.customs_balance_cif
    for said, part in (
        ("That ledger’s own debits do not come to its balance", found.totals),
        ("Our export items, against its CIF-FC", found.entitlement),
        ("Its debits, changed since they were loaded", found.edited),
        ("Our debits that it does not show", found.unconfirmed),
        ("Our debits that are later than it", found.later),
        ("Our open allotments, of which customs does not know", found.allotted),
    ):
        if part:
            yield said, part
    yield "Our balance", found.raw


def _bills(mismatch: Mismatch) -> dict[int | None, str]:
    """The bills that may have used an allotment, the likeliest first."""
    rows = [{**mismatch.details, "bill_of_entry_id": mismatch.other_id}, *mismatch.details["others"]]
    return {row["bill_of_entry_id"]: bill_in_words(row["bill_of_entry"], row["date"], row["port"]) for row in rows}


def _allotment(mismatch: Mismatch) -> str:
    return f"allotment {mismatch.subject_id} to {mismatch.details['company']}"


def _reserved(allotment: Allotment) -> str:
    """USD 410.00: on all its items, by currency."""
    currency = "import_item__license__currency"
    sums = allotment.lines.order_by(currency).values_list(currency).annotate(Sum("cif_fc"))
    return " and ".join(money(*each) for each in sums)


def _unconverted(currency: str, amount: Decimal, _: Decimal | None, details: Mapping[str, Any]) -> str:
    bill = bill_in_words(details["bill_of_entry"], details["date"], details["port"])
    twice = money(currency, amount)
    return (
        f"allotment {details['allotment_id']} to {details['company']} is probably used by {bill}, and not converted: "
        f"{twice} counts twice"
    )


def _disputed(currency: str, amount: Decimal, quantity: Decimal | None, details: Mapping[str, Any]) -> str:
    bill = bill_in_words(details["bill_of_entry"], details["date"], details["port"])
    of = f"{money(currency, amount)} for {indian(quantity or Decimal(0), 3)} {details.get('unit', '')}".rstrip()
    since = details["disputed_since"]
    when = f"since {_day(since)}" if since else f"of {_day(details['ledger_as_of'])}"
    return f"{bill}: {of}; not in the ledger {when}"


def _twin(currency: str, amount: Decimal, _: Decimal | None, details: Mapping[str, Any]) -> str:
    ours = bill_in_words(details["bill_of_entry"], details["date"], details["port"])
    theirs = bill_in_words(details["their_bill_of_entry"], details["their_date"], details["their_port"])
    return f"{ours} with {money(currency, amount)} is probably {theirs} of customs"


def _imbalance(currency: str, amount: Decimal, _: Decimal | None, details: Mapping[str, Any]) -> str:
    theirs = money(currency, Decimal(details["customs_balance_cif"]))
    parts = {said: Decimal(details[name]) for name, said in PARTS.items()}
    why = "; ".join(f"{said} {indian(part)}" for said, part in parts.items() if part)
    return f"{indian(abs(amount))} {'more' if amount > 0 else 'less'} than the {theirs} of customs: {why}"


_WORDS = {
    MismatchKind.UNCONVERTED: _unconverted,
    MismatchKind.DISPUTED: _disputed,
    MismatchKind.TWIN: _twin,
    MismatchKind.IMBALANCE: _imbalance,
}


def _day(iso: str) -> str:
    return day(date.fromisoformat(iso))

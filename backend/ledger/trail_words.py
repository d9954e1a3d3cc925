"""The trail, for people: which document or item was entered, changed or deleted, what of it, by whom and when."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import models

from ledger.models import (
    Allotment,
    AllotmentLine,
    AllotmentRelease,
    BillOfEntry,
    BillOfEntryLine,
    ImportItemBalance,
    LicenseBalance,
    TrailStatement,
)
from ledger.sql import queries
from ledger.trail import DERIVED, TRACKED
from license.clock import INDIA
from license.formats import day, label, shown
from license.models import ExportItem, ImportItem, ItemName, License, MatchRule

MODELS: Mapping[str, type[models.Model]] = {fact.table: fact.model for fact in (*TRACKED, *DERIVED)}
OWN = {fact.table for fact in TRACKED if fact.owner == "id"}
"""The tables whose rows belong to nothing but themselves."""
NAME_LINK, BILL_LINK = ImportItem.item_names.through, Allotment.bills_of_entry.through
KINDS: Mapping[str, str] = {table: str(model._meta.verbose_name_plural) for table, model in MODELS.items()} | {
    BillOfEntryLine._meta.db_table: "bill-of-entry lines",
    NAME_LINK._meta.db_table: "names of import items",
    BILL_LINK._meta.db_table: "allotments used by bills of entry",
}
"""What people call the tables."""
NOTHING = "–"
GONE = "gone"

Image = dict[str, Any]
"""A row, by column. Numbers are exact."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a row, as text for people; empty where there was no row."""

    name: str
    before: str
    after: str

    @property
    def told(self) -> str:
        """1,000.00 → 1,250.00; of what was entered or deleted, what it was."""
        return f"{self.before} → {self.after}" if self.before and self.after else self.before or self.after


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the trail."""

    pk: int
    statement: TrailStatement
    table: str
    row_id: int
    subject: str
    """What it is about: debit of BE 4711 on item 2 of license 0310000001."""
    what: str
    """entered, changed or deleted."""
    fields: Sequence[Field]
    """Of what was changed, those that were; of what was entered or deleted, those that say something. A link says all
    by its subject."""
    before: Image | None
    after: Image | None


def of_license(license_ids: Sequence[int], *, older_than: int | None = None, at_most: int) -> list[Change]:
    """The newest changes of all that the balances of licenses are made of, or those before an entry."""
    rows = queries.dicts("trail_of_license", license_ids=license_ids, older_than=older_than, at_most=at_most)
    return in_words(rows, license_ids)


def of_statement(statement_id: int, *, after: int = 0, at_most: int) -> list[Change]:
    """What a statement has written, in its order, from after an entry on."""
    return in_words(queries.dicts("trail_of_statement", statement_id=statement_id, after=after, at_most=at_most))


def in_words(rows: Sequence[Mapping[str, Any]], license_ids: Sequence[int] = ()) -> list[Change]:
    """Entries as they come from the database, in their order. Their number is that of a page: all that they name is
    looked up at once."""
    statements = TrailStatement.objects.in_bulk({row["statement_id"] for row in rows})
    images = [(row, _read(row["before"]), _read(row["after"])) for row in rows]
    each = ((MODELS[row["table_name"]], image) for row, *both in images for image in both if image is not None)
    names = _Names(each, license_ids)
    return [
        Change(
            pk=row["id"],
            statement=statements[row["statement_id"]],
            table=row["table_name"],
            row_id=row["row_id"],
            subject=names.subject(MODELS[row["table_name"]], row["row_id"], after or before or {}),
            what="entered" if before is None else "deleted" if after is None else "changed",
            fields=list(_fields(MODELS[row["table_name"]], before, after, names)),
            before=before,
            after=after,
        )
        for row, before, after in images
    ]


def _read(text: str | None) -> Image | None:
    return None if text is None else json.loads(text, parse_float=Decimal)


def _fields(model: type[models.Model], before: Image | None, after: Image | None, names: "_Names") -> Iterable[Field]:
    for field in model._meta.concrete_fields:
        column = field.column or ""
        if field.primary_key or column == "modified_at" or model._meta.auto_created:
            continue
        was, becomes = ((image or {}).get(column) for image in (before, after))
        if was == becomes or (None in (before, after) and _says_nothing(field, becomes if before is None else was)):
            continue
        yield Field(
            label(field.verbose_name),
            "" if before is None else names.value(field, was),
            "" if after is None else names.value(field, becomes),
        )


def _says_nothing(field: "models.Field[Any, Any]", value: object) -> bool:
    """It is empty, or what is there where nobody says anything, or it is said already: by the subject, or, a time, by
    the statement."""
    if value in (None, "") or isinstance(field, models.DateTimeField) or field.related_model in _IN_SUBJECTS:
        return True
    return field.has_default() and bool(field.to_python(value) == field.get_default())


class _Names:
    """What the rows are called that other rows name by their ids; those too that are gone, as they were last seen."""

    def __init__(self, images: Iterable[tuple[type[models.Model], Image]], license_ids: Sequence[int]) -> None:
        self._found: dict[type[models.Model], dict[int, models.Model]] = defaultdict(dict)
        wanted = _named(images)
        self._find(wanted, license_ids)
        # an item is known by its license
        items = self._found[ImportItem].values()
        licenses = {item.license_id for item in items if isinstance(item, ImportItem)} - self._found[License].keys()
        self._find({License: licenses}, license_ids)

    def _find(self, wanted: Mapping[type[models.Model], set[int]], license_ids: Sequence[int]) -> None:
        for model, ids in wanted.items():
            found = self._found[model]
            found |= model._default_manager.in_bulk(ids)
            table, missing = model._meta.db_table, sorted(ids - found.keys())
            owners = missing if table in OWN else license_ids if model is ImportItem else []
            if missing and owners:
                last = queries.rows("trail_last_seen", table=table, row_ids=missing, owner_ids=owners)
                found |= {row_id: _instance(model, _read(before) or {}) for row_id, before in last}

    def value(self, field: "models.Field[Any, Any]", value: Any) -> str:
        """A value of a column, as people read it."""
        if value in (None, ""):
            return NOTHING
        if isinstance(field, models.ForeignKey):
            return self._name(field.related_model, value)
        exact = field.to_python(value)
        if isinstance(exact, datetime):
            return f"{exact.astimezone(INDIA):%d %b %Y %H:%M:%S}"
        if isinstance(exact, date):
            return day(exact)
        if isinstance(field, models.DecimalField):
            return shown(exact, field.decimal_places)
        if isinstance(exact, bool):
            return "yes" if exact else "no"
        return str(dict(field.flatchoices).get(exact, exact))

    def _name(self, model: Any, pk: int) -> str:
        if model is ImportItem:
            return self._item(pk)
        if model is License:
            return self._license(pk)
        found = self._found[model].get(pk)
        return f"{found}" if found is not None else f"{model._meta.verbose_name} {pk}, {GONE}"

    def _license(self, pk: int) -> str:
        found = self._found[License].get(pk)
        return f"license {found}" if found is not None else f"license with the id {pk}, {GONE}"

    def _item(self, pk: int) -> str:
        found = self._found[ImportItem].get(pk)
        if not isinstance(found, ImportItem):
            return f"item with the id {pk}, {GONE}"
        return f"item {found.serial_number} of {self._license(found.license_id)}"

    def subject(self, model: type[models.Model], pk: int, row: Image) -> str:
        """What a row is called."""
        words = _SUBJECTS.get(model)
        return words(self, pk, row) if words else f"{model._meta.verbose_name} {_instance(model, row)}"


def _named(images: Iterable[tuple[type[models.Model], Image]]) -> dict[type[models.Model], set[int]]:
    ids: dict[Any, set[int]] = defaultdict(set)
    for model, image in images:
        for field in model._meta.concrete_fields:
            if isinstance(field, models.ForeignKey) and image.get(field.column) is not None:
                ids[field.related_model].add(image[field.column])
    return ids


def _instance(model: type[models.Model], row: Image) -> models.Model:
    fields = model._meta.concrete_fields
    return model(**{field.attname: field.to_python(row[field.column]) for field in fields if field.column in row})


_IN_SUBJECTS = (License, ImportItem, BillOfEntry, Allotment)
_SUBJECTS: Mapping[type[models.Model], Callable[[_Names, int, Image], str]] = {
    License: lambda _, __, row: f"license {row['license_number']}",
    ExportItem: lambda names, pk, row: f"export item {pk} of {names._license(row['license_id'])}",
    ImportItem: lambda names, _, row: f"item {row['serial_number']} of {names._license(row['license_id'])}",
    NAME_LINK: lambda names, _, row: (
        f"name {names._name(ItemName, row['itemname_id'])} of {names._item(row['importitem_id'])}"
    ),
    BillOfEntry: lambda _, __, row: f"{_instance(BillOfEntry, row)}",
    BillOfEntryLine: lambda names, _, row: (
        f"{'debit' if row['transaction_type'] == 'D' else 'credit'} of "
        f"{names._name(BillOfEntry, row['bill_of_entry_id'])} on {names._item(row['import_item_id'])}"
    ),
    Allotment: lambda _, __, row: f"{_instance(Allotment, row)}",
    AllotmentLine: lambda names, _, row: (
        f"{names._name(Allotment, row['allotment_id'])} on {names._item(row['import_item_id'])}"
    ),
    BILL_LINK: lambda names, _, row: (
        f"{names._name(Allotment, row['allotment_id'])} used by {names._name(BillOfEntry, row['billofentry_id'])}"
    ),
    AllotmentRelease: lambda names, _, row: f"{names._name(Allotment, row['allotment_id'])} given up",
    ItemName: lambda _, __, row: f"item name {row['name']}",
    LicenseBalance: lambda names, pk, _: f"balance of {names._license(pk)}",
    ImportItemBalance: lambda names, pk, _: f"balance of {names._item(pk)}",
    MatchRule: lambda names, _, row: f"match rule of {names._name(ItemName, row['item_name_id'])}",
}

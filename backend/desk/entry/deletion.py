"""What goes with a row that is deleted, and what keeps it: all of it counted, the first of it named.

Django's own list reads and names each row there is; of a norm, an exporter or an item name these are tens of thousands.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import CASCADE, PROTECT, Field, Model, QuerySet
from django.urls import reverse
from django.utils.html import format_html

from desk.entry.pick import described, name_of
from ledger.models import Allotment, AllotmentLine, BillOfEntryLine
from license.formats import indian
from license.models import ExportItem, ImportItem

MOST = 100
"""So many of a kind are named."""

NAMES: dict[Any, tuple[Callable[[Any], str], tuple[str, ...]]] = {
    ExportItem: (lambda item: f"{item.license}: {item}", ("license",)),
    ImportItem: (name_of, ("license",)),
    BillOfEntryLine: (
        lambda line: f"{line.bill_of_entry}: {line}, {name_of(line.import_item)}",
        ("bill_of_entry", "import_item__license"),
    ),
    Allotment: (described, ("company",)),
    AllotmentLine: (lambda line: f"{line}, {name_of(line.import_item)}", ("allotment", "import_item__license")),
}
"""What people call a row, where it does not say so by itself, and what is read for that."""

Tree = list[Any]
"""A kind, then a list of its rows, and so on: for Django's filter `unordered_list`."""


def dependents(row: Model, site: AdminSite) -> tuple[Tree, Tree]:
    """What goes with it, and what keeps it."""
    goes: Tree = []
    keeps: Tree = []

    def follow(rows: QuerySet[Any]) -> None:
        for relation in rows.model._meta.get_fields(include_hidden=True):
            on_delete: Any = getattr(relation, "on_delete", None)
            if on_delete in (CASCADE, PROTECT):
                depending = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": rows})
                (goes if on_delete is CASCADE else keeps).extend(_tree(depending, relation.field, site))
                if on_delete is CASCADE:
                    follow(depending)

    follow(type(row)._base_manager.filter(pk=row.pk))
    return goes, keeps


def _tree(rows: QuerySet[Any], by: "Field[Any, Any]", site: AdminSite) -> Tree:
    """Of these rows, found by this foreign key. A row that only links two others is called by what it links to."""
    if not rows.model._meta.auto_created:
        return listed(rows, rows.model, site)
    [to] = (link for link in rows.model._meta.fields if link.is_relation and link != by)
    return listed(rows, to.related_model, site, f"{to.name}")


def listed(rows: QuerySet[Any], of: type[Model], site: AdminSite, through: str = "", kind: str = "") -> Tree:
    """Nothing of none; of many the first, and how many more there are."""
    name, read = NAMES.get(of, (str, ()))
    read = (through, *(f"{through}__{path}" for path in read)) if through else read
    first = list(rows.select_related(*(read or (None,))).order_by("pk")[:MOST])
    count = len(first) if len(first) < MOST else rows.count()
    names = [_linked(getattr(row, through) if through else row, name, site) for row in first]
    if count > MOST:
        names.append(f"and {_counted(count - MOST)} more")
    kind = kind or f"{'links to ' if through else ''}{of._meta.verbose_name_plural}"
    return [f"{kind[:1].upper()}{kind[1:]}: {_counted(count)}", names] if count else []


def _linked(row: Model, name: Callable[[Any], str], site: AdminSite) -> str:
    if not site.is_registered(type(row)):
        return name(row)
    page = reverse(f"{site.name}:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', page, name(row))


def _counted(count: int) -> str:
    return indian(Decimal(count), 0)

"""How templates of data entry show fields."""

from decimal import Decimal
from typing import Any

from django.contrib.admin.helpers import AdminReadonlyField
from django.template import Library

from license import formats

register = Library()
register.filter("label", formats.label)


@register.filter
def contents(field: AdminReadonlyField) -> Any:
    """What stands in a field that cannot be typed: a number as everywhere else, the rest as Django shows it."""
    row, name = field.form.instance, field.field["name"]
    value = getattr(row, name, None)
    if isinstance(value, Decimal):
        return formats.shown(value, row._meta.get_field(name).decimal_places)
    return field.contents()

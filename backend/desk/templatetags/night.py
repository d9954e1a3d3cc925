"""How templates show what a run found, in the words of its report."""

from datetime import timedelta

from django.template import Library

from license.formats import grouped
from reconcile.report import license_name, words

register = Library()
register.filter("grouped", grouped)
register.filter("license_name", license_name)
register.filter("words", words)


@register.filter
def duration(span: timedelta) -> str:
    """0.4 s, 12.3 s, 3 min 05 s."""
    tenths = span // timedelta(milliseconds=100)
    if tenths < 600:
        return f"{tenths // 10}.{tenths % 10} s"
    return f"{tenths // 600} min {tenths // 10 % 60:02} s"

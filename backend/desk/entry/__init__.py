"""Data entry: Django's admin, for those who may write facts. Balances are shown in it and never typed."""

from desk.entry import documents, licenses, lists, people  # noqa: F401  each registers its models
from desk.entry.site import site

__all__ = ["site"]

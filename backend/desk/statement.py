"""The statement of a license: every credit, debit and allotment in date order, with the balance after each."""

from datetime import date
from decimal import Decimal
from itertools import accumulate

from ledger.explain import Explanation, Line


def statement(explained: Explanation) -> list[tuple[Line, str, Decimal]]:
    """Each line, what it is (credit, debit, allotment), and the balance after it, below zero where it is overdrawn: the
    last is what docs/rules.md calls the raw balance.

    Credits come first: a bill of entry may be older than the day on which the export was recorded."""
    movements = [(line, "debit") for line in explained.debits] + [(line, "allotment") for line in explained.allotments]
    movements.sort(key=lambda entry: (entry[0].day or date.min, entry[0].name))
    entries = [(line, "credit") for line in explained.credits] + movements
    after = accumulate(line.cif_fc if kind == "credit" else -line.cif_fc for line, kind in entries)
    return [(line, kind, left) for (line, kind), left in zip(entries, after, strict=True)]

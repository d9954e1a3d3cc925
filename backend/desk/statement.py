"""The statement of a license: every credit, debit and allotment in date order, with the balance after each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import accumulate

from ledger.explain import Explanation, Line
from license.chart import Steps, steps

Entry = tuple[Line, str, Decimal]


def statement(explained: Explanation) -> list[Entry]:
    """Each line, what it is (credit, debit, allotment), and the balance after it, below zero where it is overdrawn: the
    last is what docs/rules.md calls the raw balance.

    Credits come first: a bill of entry may be older than the day on which the export was recorded."""
    movements = [(line, "debit") for line in explained.debits] + [(line, "allotment") for line in explained.allotments]
    movements.sort(key=lambda entry: (entry[0].day or date.min, entry[0].name))
    entries = [(line, "credit") for line in explained.credits] + movements
    after = accumulate(line.cif_fc if kind == "credit" else -line.cif_fc for line, kind in entries)
    return [(line, kind, left) for (line, kind), left in zip(entries, after, strict=True)]


@dataclass(frozen=True, slots=True)
class OverTime:
    """The balance over time, as a picture and as what is to be said of it."""

    chart: Steps
    points: Sequence[tuple[date, Decimal]]
    """The days on which it moved, and the balance at the end of each."""
    until: date
    most: Decimal
    least: Decimal
    undated: int
    """How many lines have no date."""


def over_time(entries: Sequence[Entry], today: date) -> OverTime | None:
    """A statement as a line of steps up to today, or to its last day where that is later. None: fewer than two lines,
    or no two days to draw it between.

    What has no date counts from the first day on, and so do credits: as in the statement, they come first."""
    days = [line.day for line, kind, _ in entries if line.day]
    if len(entries) < 2 or not days or min(days) == max(*days, today):
        return None
    first, until = min(days), max(*days, today)
    points = {(line.day if kind != "credit" and line.day else first): after for line, kind, after in entries}
    return OverTime(
        chart=steps(list(points.items()), until),
        points=list(points.items()),
        until=until,
        most=max(points.values()),
        least=min(points.values()),
        undated=sum(line.day is None for line, _, _ in entries),
    )

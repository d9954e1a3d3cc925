"""Where lines, bars and labels of a chart stand: in whole units of the picture that a template draws, x to the right
and y down from its upper left corner."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from license.formats import day, indian

WIDTH = 720
BARS_HEIGHT, STEPS_HEIGHT = 120, 200
FEWEST_BARS = 10
LABEL_EVERY = 5
MOST_TICKS = 6
CHARACTER = 8
"""How wide a character of a label is, at most."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One of a row of bars, and the part of it that is told apart; both stand on the ground at BARS_HEIGHT."""

    x: int
    width: int
    height: int
    part_height: int
    is_labelled: bool

    @property
    def top(self) -> int:
        return BARS_HEIGHT - self.height

    @property
    def part_top(self) -> int:
        return BARS_HEIGHT - self.part_height


def bars(amounts: Sequence[tuple[int, int]]) -> list[Bar]:
    """From left to right a bar for each amount and its part, neither below 0. What is there is seen, however little."""
    most = max((amount for amount, _ in amounts), default=0)
    step = WIDTH // max(len(amounts), FEWEST_BARS)

    def height(amount: int) -> int:
        return max(amount * BARS_HEIGHT // most, 2) if amount else 0

    return [
        Bar(number * step + 2, step - 4, height(amount), height(part), number % LABEL_EVERY == 0)
        for number, (amount, part) in enumerate(amounts)
    ]


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis, and where along it."""

    at: int
    label: str


@dataclass(frozen=True, slots=True)
class Steps:
    """An amount over time that stays as it is from one point to the next: a line of steps, with its axes."""

    line: str
    """The `d` of a path."""
    area: str
    """The `d` of what lies between that line and zero."""
    zero: int
    amounts: Sequence[Tick]
    days: Sequence[Tick]

    width: int = WIDTH
    height: int = STEPS_HEIGHT

    @property
    def margin(self) -> int:
        """What the labels of the amounts need to the left of the picture."""
        return CHARACTER * max(len(tick.label) for tick in self.amounts) + 10


def steps(points: Sequence[tuple[date, Decimal]], until: date) -> Steps:
    """At least one point, days ascending; `until` is later than the first and not before the last. Zero is in sight."""
    start = points[0][0]
    low = min(Decimal(0), *(amount for _, amount in points))
    high = max(Decimal(0), *(amount for _, amount in points))
    unit = _round_unit(high - low or Decimal(1))
    bottom = int((low / unit).to_integral_value(ROUND_FLOOR))
    top = max(int((high / unit).to_integral_value(ROUND_CEILING)), bottom + 1)

    def x(when: date) -> int:
        return (when - start).days * WIDTH // (until - start).days

    def y(amount: Decimal) -> int:
        return round((top - amount / unit) * STEPS_HEIGHT / (top - bottom))

    line = f"M0 {y(points[0][1])}" + "".join(f"H{x(when)}V{y(amount)}" for when, amount in points[1:]) + f"H{WIDTH}"
    zero = y(Decimal(0))
    places = max(0, -unit.adjusted())
    return Steps(
        line=line,
        area=f"{line}V{zero}H0Z",
        zero=zero,
        amounts=[Tick(y(unit * n), indian(unit * n, places)) for n in range(bottom, top + 1)],
        days=[Tick(x(when), label) for when, label in _days(start, until)],
    )


def _round_unit(span: Decimal) -> Decimal:
    """The least of … 1, 2, 5, 10, 20 … of which no more than MOST_TICKS make up the span."""
    power = Decimal(1).scaleb((span / MOST_TICKS).adjusted())
    return next(power * n for n in (1, 2, 5, 10) if power * n * MOST_TICKS >= span)


def _days(start: date, end: date) -> list[tuple[date, str]]:
    """Beginnings of months, every so many of them; first and last day where that is too short a time for them."""
    first, last = (when.year * 12 + when.month - 1 for when in (start, end))  # months since the year 0
    if last - first < 2:
        return [(start, day(start)), (end, day(end))]
    years = int(_round_unit(Decimal(last - first) / 12))
    every = next((n for n in (1, 2, 3, 6) if n * MOST_TICKS >= last - first), 12 * years)
    begins = (date(n // 12, n % 12 + 1, 1) for n in range(first // every * every + every, last + 1, every))
    return [(when, f"{when:%b %Y}") for when in begins]

"""The balance over time, and the charts' geometry: what stands where is what the numbers say."""

import itertools
import re
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from desk.statement import OverTime, over_time
from ledger.engine import drain
from ledger.explain import Line
from ledger.models import BillOfEntry, BillOfEntryLine
from license.chart import BARS_HEIGHT, MOST_TICKS, STEPS_HEIGHT, WIDTH, Steps, bars, steps
from license.models import ExportItem, ImportItem, License
from tests.web.conftest import Shown, read

START = date(2026, 1, 1)


def corners(chart: Steps) -> list[tuple[int, int]]:
    """Of the line of steps: where it begins, and where each step ends."""
    [(x, y)] = re.findall(r"^M(\d+) (-?\d+)", chart.line)
    at = [(int(x), int(y))]
    for x, y in re.findall(r"H(\d+)V(-?\d+)", chart.line):
        at.append((int(x), int(y)))
    assert re.fullmatch(rf"M0 \d+(H\d+V\d+)*H{WIDTH}", chart.line)
    return at


def amount_at(chart: Steps, y: int) -> Decimal:
    """What a person reads off the axis at this height."""
    low, high = chart.amounts[0], chart.amounts[-1]
    least, most = (Decimal(tick.label.replace(",", "")) for tick in (low, high))
    return least + (most - least) * (low.at - y) / (low.at - high.at)


@pytest.mark.parametrize(
    "amounts",
    [
        ["111302.61", "91302.50", "90741.45"],
        ["1000", "-250.75", "100"],
        ["-5", "-5"],
        ["0", "0"],
        ["0.07", "0.01"],
        ["9999999999999.99", "0.01"],
        ["500", "500"],
    ],
)
def test_the_line_is_where_the_amounts_are(amounts: list[str]) -> None:
    points = [(START + timedelta(days=10 * n), Decimal(amount)) for n, amount in enumerate(amounts)]
    chart = steps(points, START + timedelta(days=100))
    unit = abs(amount_at(chart, 0) - amount_at(chart, 1))
    for (x, y), (day, amount) in zip(corners(chart), points, strict=True):
        assert x == (day - START).days * WIDTH // 100
        assert abs(amount_at(chart, y) - amount) <= unit / 2 + Decimal("0.005")
        assert 0 <= y <= STEPS_HEIGHT
    assert [chart.zero] == [tick.at for tick in chart.amounts if Decimal(tick.label.replace(",", "")) == 0]
    assert chart.area == f"{chart.line}V{chart.zero}H0Z"
    assert (chart.amounts[0].at, chart.amounts[-1].at) == (STEPS_HEIGHT, 0)
    assert 2 <= len(chart.amounts) <= MOST_TICKS + 2


def test_amounts_are_labelled_in_round_numbers_as_the_trade_writes_them() -> None:
    chart = steps([(START, Decimal("111302.61")), (START, Decimal(-3000))], date(2026, 6, 1))
    assert [tick.label for tick in chart.amounts] == [
        "-20,000",
        *["0", "20,000", "40,000", "60,000", "80,000", "1,00,000", "1,20,000"],
    ]


@pytest.mark.parametrize(
    ("until", "labels"),
    [
        (date(2026, 1, 2), ["01 Jan 2026", "02 Jan 2026"]),
        (date(2026, 2, 28), ["01 Jan 2026", "28 Feb 2026"]),
        (date(2026, 3, 1), ["Feb 2026", "Mar 2026"]),
        (date(2026, 7, 15), ["Feb 2026", "Mar 2026", "Apr 2026", "May 2026", "Jun 2026", "Jul 2026"]),
        (date(2026, 9, 1), ["Mar 2026", "May 2026", "Jul 2026", "Sep 2026"]),
        (date(2028, 12, 31), ["Jul 2026", "Jan 2027", "Jul 2027", "Jan 2028", "Jul 2028"]),
        (date(2031, 6, 1), ["Jan 2027", "Jan 2028", "Jan 2029", "Jan 2030", "Jan 2031"]),
        (date(2046, 1, 1), ["Jan 2030", "Jan 2035", "Jan 2040", "Jan 2045"]),
        (date.max, ["Jan 4000", "Jan 6000", "Jan 8000"]),
    ],
)
def test_days_are_labelled_as_far_apart_as_they_can_be_read(until: date, labels: list[str]) -> None:
    chart = steps([(START, Decimal(1))], until)
    assert [tick.label for tick in chart.days] == labels
    at = [tick.at for tick in chart.days]
    assert all(0 <= x <= WIDTH for x in at)
    assert all(later - earlier >= 90 for earlier, later in itertools.pairwise(at))


def test_bars_are_as_high_as_their_amounts() -> None:
    made = bars([(0, 0), (10_000, 5_000), (5_000, 5_000), (1, 1)])
    assert [(bar.height, bar.part_height) for bar in made] == [
        (0, 0), (BARS_HEIGHT, BARS_HEIGHT // 2), (BARS_HEIGHT // 2, BARS_HEIGHT // 2), (2, 2)
    ]  # fmt: skip
    assert [(bar.top, bar.part_top) for bar in made][1] == (0, BARS_HEIGHT // 2)
    assert all(later.x >= bar.x + bar.width for bar, later in itertools.pairwise(made))
    assert bars([(7, 0)] * 30)[-1].x + bars([(7, 0)] * 30)[-1].width <= WIDTH
    assert bars([]) == []


# ── A statement ───────────────────────────────────────────────────────────────────────────────────────────────────────


def entry(kind: str, day: str | None, after: int) -> tuple[Line, str, Decimal]:
    when = date.fromisoformat(day) if day else None
    return Line("", "", when, "", Decimal(1)), kind, Decimal(after)


def drawn(*entries: tuple[Line, str, Decimal], today: str = "2026-06-01") -> OverTime | None:
    return over_time(entries, date.fromisoformat(today))


def test_a_statement_over_time() -> None:
    over = drawn(
        entry("credit", "2026-02-01", 100),
        entry("credit", "2026-02-01", 150),
        entry("debit", None, 140),
        entry("debit", "2026-01-15", 120),  # before the export was recorded
        entry("debit", "2026-03-01", 90),
        entry("allotment", "2026-03-01", -10),
        entry("debit", "2026-04-01", 0),
    )
    assert over is not None
    assert over.points == [
        (date(2026, 1, 15), 120), (date(2026, 3, 1), -10), (date(2026, 4, 1), 0)
    ]  # fmt: skip
    assert (over.until, over.most, over.least, over.undated) == (date(2026, 6, 1), 120, -10, 1)


def test_what_lies_ahead_is_in_sight() -> None:
    over = drawn(entry("credit", "2026-02-01", 100), entry("debit", "2026-12-01", 50), today="2026-06-01")
    assert over is not None
    assert over.until == date(2026, 12, 1)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry("credit", "2026-02-01", 100)],
        [entry("debit", None, 1), entry("debit", None, 2)],
        [entry("credit", "2026-06-01", 1), entry("debit", "2026-06-01", 2)],
    ],
)
def test_there_is_nothing_to_draw_without_two_lines_and_two_days(entries: list[tuple[Line, str, Decimal]]) -> None:
    assert drawn(*entries) is None


# ── On the page ───────────────────────────────────────────────────────────────────────────────────────────────────────

PAGE = "/licenses/0310000001/"


@pytest.fixture
def item(database: None) -> ImportItem:
    license = License.objects.create(license_number="0310000001", license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc="111302.61")
    return ImportItem.objects.create(license=license, serial_number=1, quantity=1000)


def debit(item: ImportItem, cif_fc: str, when: str | None) -> None:
    bill = BillOfEntry.objects.create(number=cif_fc, date=when)
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, cif_fc=cif_fc)


def of_chart(shown: Shown) -> list[str]:
    return shown.texts("descendant-or-self::*[@id='live']//*[@id='chart-words']")


def test_the_chart_comes_with_the_second_movement_and_follows_each(viewer: Client, item: ImportItem) -> None:
    drain()
    shown = read(viewer.get(PAGE))
    assert of_chart(shown) == []
    debit(item, "1302.60", "2026-02-01")
    debit(item, "0.01", None)
    shown = read(viewer.get(shown.tree.xpath("//*[@id='live']/@hx-get")[0], headers={"HX-Request": "true"}))
    [words] = of_chart(shown)
    assert words.startswith("From 1,11,302.60 on 01 Jan 2026 to 1,10,000.00 on ")
    assert "at most 1,11,302.60, at least 1,10,000.00. What has no date counts from the first day on." in words


def test_the_chart_has_a_name_and_a_description_that_are_there(viewer: Client, item: ImportItem) -> None:
    debit(item, "1302.60", "2026-02-01")
    tree = read(viewer.get(PAGE)).tree
    [svg] = tree.xpath("//*[@role='img' and contains(@class, 'chart')]")
    named = [tree.xpath(f"//*[@id='{name}']") for name in svg.get("aria-labelledby").split()]
    assert [[element.tag for element in elements] for elements in named] == [["title"], ["desc"]]
    assert named[0][0].text == "Balance over time, USD"
    assert not tree.xpath("//@style | //style")

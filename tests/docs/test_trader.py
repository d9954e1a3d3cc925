"""docs/trader.md: what it shows of the sample ledgers is what a reader finds there."""

import io
import re

import pytest
from django.core.management import call_command

import samples
from django_setup import CHECKOUT
from ledger.engine import drain

pytestmark = pytest.mark.usefixtures("database")

PAGE = (CHECKOUT / "docs" / "trader.md").read_text()
SHOWN = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
LICENSES = ("0311020358", "0310482944", "0310482917")
OF_THE_RULES = {"0.01", "0.10"}
BEFORE_ROUNDING = {"7,413.0375"}


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def amounts(text: str) -> set[str]:
    return set(re.findall(r"\b\d[\d,]*\.\d{2,}", text))


def test_the_numbers_of_the_samples() -> None:
    samples.load()
    drain()
    explained = {}
    for number in LICENSES:
        output = io.StringIO()
        call_command("explain_balance", number, stdout=output)
        explained[number] = words(output.getvalue())

    assert len(SHOWN) == 3
    for block, number in zip(SHOWN, ("0311020358", "0311020358", "0310482944"), strict=True):
        assert [line for line in words(block) if line not in explained[number]] == []

    assert set(re.findall(r"\b031\d{7}\b", PAGE)) == set(LICENSES)
    there = amounts("\n".join(line for lines in explained.values() for line in lines))
    assert amounts(PAGE) - there == OF_THE_RULES | BEFORE_ROUNDING

"""What one cell means, as tables: what is written, and what it means or why it means nothing."""

import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license import sheet_cells as cells
from license.sheet_cells import CellError, Clear
from license.sheets import clean

DEVANAGARI_TEN = "\u0967\u0966"


@pytest.mark.parametrize(
    ("read", "written", "meaning"),
    [
        (cells.license_number, "0318034063", "0318034063"),
        (cells.license_number, "318034063", "0318034063"),
        (cells.license_number, "318034063.0", "0318034063"),
        (cells.license_number, "'0318034063", "0318034063"),
        (cells.license_number, '="0318034063"', "0318034063"),
        (cells.license_number, "03180 34063", "0318034063"),
        (cells.license_number, "dfia/12-a", "DFIA/12-A"),
        (cells.serial_number, "1", 1),
        (cells.serial_number, "007", 7),
        (cells.serial_number, "3.0", 3),
        (cells.hs_code, "1511", "1511"),
        (cells.hs_code, "1511.90.20", "15119020"),
        (cells.hs_code, "1511 90 20", "15119020"),
        (cells.hs_code, "15119020.0", "15119020"),
        (cells.hs_code, "8021200", "08021200"),
        (cells.hs_code, "40221", "040221"),
        (cells.hs_prefix, "15", "15"),
        (cells.hs_prefix, "0802", "0802"),
        (cells.percentage, "0", Decimal("0.00")),
        (cells.percentage, "10", Decimal("10.00")),
        (cells.percentage, "7.5 %", Decimal("7.50")),
        (cells.percentage, "33.33%", Decimal("33.33")),
        (cells.percentage, "10.000", Decimal("10.00")),
        (cells.percentage, ".5", Decimal("0.50")),
        (cells.percentage, "100", Decimal("100.00")),
        (cells.sheet_percentage, "5", Decimal("5.00")),
        (cells.sheet_percentage, "-", Clear.CLEAR),
        (cells.sheet_percentage, "'-", Clear.CLEAR),
        (cells.sheet_percentage, "\u2013", Clear.CLEAR),
        (cells.sheet_percentage, "None", Clear.CLEAR),
        (cells.norm, "e5", "E5"),
        (cells.norm, "a-3627 (b)", "A-3627 (B)"),
        (cells.item_names, "Palm Oil; Cocoa|Palm Oil;", ("Palm Oil", "Cocoa")),
        (cells.words, "Palm  OIL palm", "palm oil"),
        (cells.words, "co-poly*", "co poly*"),
        (cells.words, "oil, refined", "oil refined"),
        (cells.description, "'=SUM", "=SUM"),
        (cells.description, "'A' grade", "'A' grade"),
        (cells.unit, "KGS", "KGS"),
    ],
)
def test_means(read: Callable[[str], Any], written: str, meaning: Any) -> None:
    assert read(written) == meaning


@pytest.mark.parametrize(
    ("read", "written", "why"),
    [
        (cells.license_number, "3.18E+08", "shortened by a spreadsheet"),
        (cells.license_number, "12345678901", "has 11 digits"),
        (cells.license_number, "no. 5", "not a license number"),
        (cells.license_number, DEVANAGARI_TEN, "not a license number"),
        *(
            (cells.serial_number, bad, "not a serial number")
            for bad in ("0", "-1", "1.5", "1_0", DEVANAGARI_TEN, "A", "1" * 7)
        ),
        *((cells.hs_code, bad, "not an HS code") for bad in ("151", "123456789", "15A1", "-", DEVANAGARI_TEN * 2)),
        (cells.hs_code, "1511.9", "lost a zero"),
        (cells.hs_prefix, "802", "3 digits"),
        (cells.hs_prefix, "1511902000", "not the beginning"),
        *(
            (cells.percentage, bad, "not a percentage")
            for bad in (
                "1_0",
                "NaN",
                "Infinity",
                "1e1",
                "1e999999999",
                DEVANAGARI_TEN,
                "-5",
                "+5",
                "7,5",
                "%",
                "10%%",
                ".",
            )
        ),
        (cells.percentage, "100.01", "more than 100"),
        (cells.percentage, "999", "more than 100"),
        (cells.percentage, "33.333", "more than two decimals"),
        (cells.percentage, "-", "not a percentage"),
        (cells.sheet_percentage, "nil", "not a percentage"),
        (cells.norm, "-", "not a norm"),
        (cells.norm, "none", "not a norm"),
        (cells.norm, "E" * 21, "at most 20"),
        (cells.unit, "U" * 21, "at most 20"),
        (cells.item_name, "A;B", "separate names"),
        (cells.item_name, "A" * 256, "at most 255"),
        (cells.words, "*", "not a list of words"),
        (cells.words, "pa*lm", "a '*' may stand at the end"),
        (cells.words, "palm *", "a '*' may stand at the end"),
        (cells.words, "w" * 256, "at most 255"),
        (cells.checked, "x" * 1001, "1,001 characters"),
        (cells.checked, "#N/A", "error of the spreadsheet"),
    ],
)
def test_means_nothing(read: Callable[[str], Any], written: str, why: str) -> None:
    with pytest.raises(CellError, match=why.replace("(", r"\(").replace("*", r"\*")):
        read(written)


@pytest.mark.parametrize(
    ("raw", "cell"),
    [
        ("  Palm\xa0 oil\n", "Palm oil"),
        ("\ufeffLic\u200b.No.", "Lic.No."),
        ("a\x00b\x07", "ab"),
        ("\u0915\u094d\u0937", "\u0915\u094d\u0937"),
    ],
)
def test_clean(raw: str, cell: str) -> None:
    assert clean(raw) == cell


EVERY = [
    *(cells.license_number, cells.serial_number, cells.description, cells.unit, cells.hs_code, cells.hs_prefix),
    *(cells.percentage, cells.sheet_percentage, cells.norm, cells.item_name, cells.item_names, cells.words),
]


@given(st.text(max_size=30).map(clean).filter(bool), st.sampled_from(EVERY))
def test_whatever_is_written_means_something_or_is_refused(written: str, read: Callable[[str], Any]) -> None:
    with contextlib.suppress(CellError):
        assert read(written) is not None


@given(st.decimals(0, 100, places=2))
def test_every_percentage_comes_out_as_it_went_in(percentage: Decimal) -> None:
    assert cells.percentage(str(percentage)) == percentage

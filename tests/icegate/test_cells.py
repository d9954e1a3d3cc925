"""What one cell means, as tables: what is written, and what it means or why it means nothing."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.icegate import cells
from ledger.icegate.cells import CellError, Kind


@pytest.mark.parametrize(
    ("raw", "cell"),
    [
        ("  USD ", "USD"),
        ("\xa0USD\xa0", "USD"),
        (": 0381288784 ", "0381288784"),
        (":\xa0 0352515243", "0352515243"),
        (": ", ""),
        ("::x", ":x"),
        ("\ufeffRegn.No.", "Regn.No."),
        ("\u200bRegn\u200d.No.\u2060", "Regn.No."),
        ("\x0cRegn.No.", "Regn.No."),
        ("Tot.\n  Duty", "Tot. Duty"),
        ("a\xadb", "ab"),
    ],
)
def test_clean(raw: str, cell: str) -> None:
    assert cells.clean(raw) == cell


@pytest.mark.parametrize(
    ("first_cell", "kind"),
    [
        ("Regn.No.", Kind.REGISTRATION),
        ("regn. no. :", Kind.REGISTRATION),
        ("REGN.NO", Kind.REGISTRATION),
        ("RA No.", Kind.RELEASE_ADVICE),
        ("RA\xa0No", Kind.RELEASE_ADVICE),
        ("IEC:", Kind.IMPORTER),
        ("Tot.Duty", Kind.TOTALS),
        ("bal.duty.", Kind.BALANCES),
        ("Credit-", Kind.CREDIT),
        ("CREDIT -", Kind.CREDIT),
        ("Credit\u2013", Kind.CREDIT),
        ("Debit", Kind.DEBIT),
        ("", None),
        ("Sr.No", None),
        ("Total Pages 2", None),
        ("Debit Ledger", None),
        ("[E]->EDI", None),
    ],
)
def test_kind_of_a_line(first_cell: str, kind: Kind | None) -> None:
    assert cells.kind_of(first_cell) is kind


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", "0"),
        ("0", "0"),
        ("7", "7"),
        ("3548.6", "3548.6"),
        (".5", "0.5"),
        ("5.", "5"),
        ("007", "7"),
        ("66,593.16", "66593.16"),
        ("1,113,026.10", "1113026.10"),
        ("11,13,026.10", "1113026.10"),
        ("1,11,302.61", "111302.61"),
        ("12,34,56,789", "123456789"),
        ("3548.6000000000004", "3548.6000000000004"),
        ('="17562.66"', "17562.66"),
        ("'17562.66", "17562.66"),
        ('"1,11,302.61"', "111302.61"),
        ("9999999999999.99", "9999999999999.99"),
        ("9999999999999.9949999", "9999999999999.9949999"),
    ],
)
def test_amount(written: str, value: str) -> None:
    assert cells.amount(written) == Decimal(value)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("abc", "is not a number"),
        ("1_000", "is not a number"),
        ("NaN", "is not a number"),
        ("Infinity", "is not a number"),
        ("१२३", "is not a number"),
        ("１２", "is not a number"),
        ("12.5 kg", "is not a number"),
        ("1 234", "is not a number"),
        ("+5", "is not a number"),
        ("(5)", "is not a number"),
        ("-", "is not a number"),
        (".", "is not a number"),
        ("1.2.3", "is not a number"),
        ("0." + "1" * 21, "is not a number"),
        ("-5", "is negative"),
        ("-0.01", "is negative"),
        ("1,23", "thousands separators in the wrong places"),
        ("1,2345", "thousands separators in the wrong places"),
        ("1,11,30.61", "thousands separators in the wrong places"),
        ("123,45,678", "thousands separators in the wrong places"),
        ("1,234,56,789", "thousands separators in the wrong places"),
        ("12,34,567,890", "thousands separators in the wrong places"),
        (",123", "thousands separators in the wrong places"),
        ("123,", "thousands separators in the wrong places"),
        ("1,,234", "thousands separators in the wrong places"),
        ("3.18E+08", "shortened by a spreadsheet"),
        ("1e9", "shortened by a spreadsheet"),
        ("10000000000000", "is too large"),
        ("9999999999999.995", "is too large"),
        ("9999999999999." + "9" * 20, "is too large"),
        ("9" * 900, "is too large"),
    ],
)
def test_no_amount(written: str, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        cells.amount(written)


def test_only_balances_are_negative() -> None:
    assert cells.signed_amount("-1,11,302.61") == Decimal("-111302.61")
    assert cells.signed_amount("-0") == 0
    with pytest.raises(CellError, match="not a number"):
        cells.signed_amount("--5")


def test_a_quantity_keeps_one_digit_less_before_the_point() -> None:
    assert cells.quantity("999999999999.999") == Decimal("999999999999.999")
    with pytest.raises(CellError, match="at most 12 digits"):
        cells.quantity("1000000000000")


@pytest.mark.parametrize(
    ("value", "decimals", "kept"),
    [
        ("0.005", 2, "0.01"),
        ("0.0049999", 2, "0.00"),
        ("-0.005", 2, "-0.01"),
        ("-0.001", 2, "0.00"),
        ("1.0005", 3, "1.001"),
        ("2.5", 2, "2.50"),
        ("0.125", 2, "0.13"),
        ("9999999999999.9949999", 2, "9999999999999.99"),
        ("999999999999.9994999", 3, "999999999999.999"),
    ],
)
def test_rounding_is_half_up_like_that_of_the_database(value: str, decimals: int, kept: str) -> None:
    assert str(cells.fitted(Decimal(value), decimals)) == kept


def test_a_total_is_exact() -> None:
    many = [Decimal("9999999999999.00000000000000000001")] * 1000
    assert cells.total(many) == Decimal("9999999999999000.00000000000000001")


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("28/10/2025", date(2025, 10, 28)),
        ("04/12/25", date(2025, 12, 4)),
        ("4/1/25", date(2025, 1, 4)),
        ("04-12-2025", date(2025, 12, 4)),
        ("04.12.25", date(2025, 12, 4)),
        ("29/02/2024", date(2024, 2, 29)),
        ("01/01/1990", date(1990, 1, 1)),
        ("31/12/99", date(2099, 12, 31)),
        ('="28/10/2025"', date(2025, 10, 28)),
        ("'28/10/2025", date(2025, 10, 28)),
    ],
)
def test_day(written: str, day: date) -> None:
    assert cells.day(written) == day


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "is blank"),
        ("31/02/2025", "is not a date; write it as DD/MM/YYYY"),
        ("29/02/2025", "is not a date"),
        ("10/28/2025", "is not a date"),
        ("2025-10-28", "is not a date"),
        ("28-Oct-2025", "is not a date"),
        ("28/10-2025", "is not a date"),
        ("28/10/025", "is not a date"),
        ("28/10/20251", "is not a date"),
        ("२८/10/2025", "is not a date"),
        ("00/10/2025", "is not a date"),
        ("45958", "is not a date"),
        ("28/10/1989", "between 1990 and 2099"),
        ("28/10/2100", "between 1990 and 2099"),
    ],
)
def test_no_day(written: str, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        cells.day(written)


def test_a_day_may_be_blank_where_it_is_not_needed() -> None:
    assert cells.day_or_none("") is None
    assert cells.day_or_none('=""') is None
    assert cells.day_or_none("28/10/2025") == date(2025, 10, 28)


@pytest.mark.parametrize(
    ("means", "written", "code"),
    [
        (cells.license_number, "0318034063", "0318034063"),
        (cells.license_number, "355608283", "0355608283"),
        (cells.license_number, '="0318034063"', "0318034063"),
        (cells.license_number, "'0318034063", "0318034063"),
        (cells.license_number, "318034063.0", "0318034063"),
        (cells.license_number, "dfia/03-25", "DFIA/03-25"),
        (cells.registration_number, "", ""),
        (cells.registration_number, "5", "0000000005"),
        (cells.iec, "486403747", "0486403747"),
        (cells.iec, "abcde3977f", "ABCDE3977F"),
        (cells.iec, "ABCDE3977F", "ABCDE3977F"),
        (cells.bill_number, "8472357", "8472357"),
        (cells.bill_number, "0072357.0", "0072357"),
        (cells.bill_number, "m/12-a", "M/12-A"),
        (cells.scheme_code, "26", "26"),
        (cells.scheme_code, "3", "03"),
        (cells.scheme_code, "3.0", "03"),
        (cells.currency, "usd", "USD"),
        (cells.currency, "", ""),
        (cells.port_code, "innsa1", "INNSA1"),
        (cells.port_code, "", ""),
        (cells.serial_number, "1", 1),
        (cells.serial_number, "010", 10),
        (cells.serial_number, "2.0", 2),
        (cells.serial_number, "32767", 32767),
        (cells.notification_number, "098/2009", "098/2009"),
        (cells.notification_number, "", ""),
    ],
)
def test_code(means, written: str, code: object) -> None:  # type: ignore[no-untyped-def]
    assert means(written) == code


@pytest.mark.parametrize(
    ("means", "written", "reason"),
    [
        (cells.license_number, "", "is blank"),
        (cells.license_number, "0000000000", "is blank"),
        (cells.license_number, "03180340631", "has 11 digits"),
        (cells.license_number, "3.18E+08", "shortened by a spreadsheet"),
        (cells.license_number, "3.18E08", "shortened by a spreadsheet"),
        (cells.license_number, "3E+08", "shortened by a spreadsheet"),
        (cells.license_number, "0318 034063", "is not a number of a document"),
        (cells.license_number, "A" * 21, "is not a number of a document"),
        (cells.license_number, "०३१८०३४०६३", "characters that no code has"),
        (cells.license_number, "stra\xdfe", "characters that no code has"),
        (cells.iec, "", "is blank"),
        (cells.iec, "ABCDE39771", "is not an importer-exporter code"),
        (cells.iec, "ABCDE3977FX", "is not an importer-exporter code"),
        (cells.bill_number, "", "is blank"),
        (cells.bill_number, "0", "is blank"),
        (cells.bill_number, "8472,357", "is not a number of a document"),
        (cells.scheme_code, "", "is blank"),
        (cells.scheme_code, "026", "is not a scheme code"),
        (cells.scheme_code, "DF", "is not a scheme code"),
        (cells.currency, "US$", "is not a currency"),
        (cells.currency, "DOLLAR", "is not a currency"),
        (cells.port_code, "INNSA11", "is not a port code"),
        (cells.port_code, "IN-SA1", "is not a port code"),
        (cells.serial_number, "", "is blank"),
        (cells.serial_number, "0", "is not a serial number"),
        (cells.serial_number, "-1", "is not a serial number"),
        (cells.serial_number, "1.5", "is not a serial number"),
        (cells.serial_number, "1a", "is not a serial number"),
        (cells.serial_number, "32768", "is not a serial number"),
        (cells.serial_number, "9" * 500, "is not a serial number"),
        (cells.notification_number, "x" * 51, "is too long"),
    ],
)
def test_no_code(means, written: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CellError, match=reason):
        means(written)


MEANINGS = (
    cells.amount,
    cells.signed_amount,
    cells.quantity,
    cells.day,
    cells.day_or_none,
    cells.license_number,
    cells.registration_number,
    cells.iec,
    cells.bill_number,
    cells.serial_number,
    cells.scheme_code,
    cells.currency,
    cells.port_code,
    cells.notification_number,
)
NEAR_MISSES = st.text(alphabet="0123456789.,:/-+eE_'\"= \xa0ABZ१é", max_size=30)


@settings(deadline=None)
@given(NEAR_MISSES | st.text(max_size=40))
def test_a_cell_has_a_meaning_or_a_cell_error(raw: str) -> None:
    cell = cells.clean(raw)
    assert cells.clean(cells.clean(cell).removeprefix(":")) == cells.clean(cell.removeprefix(":"))
    for means in MEANINGS:
        try:
            value = means(cell)
        except CellError:
            continue
        if isinstance(value, str):
            assert value == value.strip()


@settings(deadline=None)
@given(st.decimals(min_value=0, max_value=Decimal("9999999999999.99"), places=2, allow_nan=False))
def test_an_amount_means_the_same_however_it_is_grouped(value: Decimal) -> None:
    assert cells.amount(f"{value}") == value
    assert cells.amount(f"{value:,}") == value
    whole, _, fraction = f"{value}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    pairs = [head[max(end - 2, 0) : end] for end in range(len(head), 0, -2)][::-1]
    assert cells.amount(",".join([*pairs, tail]) + "." + fraction) == value

"""Files to ledgers and problems: what real files do, and each thing that may be wrong with one."""

import dataclasses
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.icegate import parse, records
from ledger.icegate.ledger import Credit, Debit, Ledger, ParsedFile, Problem
from ledger.icegate.parse import parse_bytes, parse_file
from tests.icegate.render import Bill, Item, License, Mess, csv_file, html_file, text_file

SAMPLES = Path(__file__).parents[2] / "samples"

# One license as CSV, line by line; scenarios change some of its lines.
GOOD = {
    "regn": "Regn.No.,0310000001,Regn.Date,12/03/2025,Lic.No.,0310000001,Lic.Date,01/03/2025,,",
    "ra": "RA No.,,RA Date,,Iss.CH.,INNSA1,Recv.CH,,,",
    "iec": "IEC,0388000001,Schm.Cd.,26,Notifcn.,025/2023,Frgn.Curr,USD,,",
    "tot": "Tot.Duty,0,CIF-INR.,830000,Tot.Qty.,150.5,CIF-FC,10000.5,,",
    "bal": "Bal.Duty,0,Bal.CIF-INR,0,Bal.Qty.,0,Bal.CIF-FC,7000,,",
    "columns": ",Sr.No,Type,CIF-INR,CIF-FC,Qty,Duty,BE/RA No,BE/RA Date,BE-SiteId",
    "credit 1": "Credit-,1,D,830000,10000.5,100,,,,",
    "debit 1": "Debit-,1,E,,7,,,1234567,05/04/2025,INNSA1",
    "debit 1 quantity": "Debit-,1,E,250000,2993.01,25.125,,1234567,05/04/2025,INNSA1",
    "credit 2": "Credit-,2,D,,,50.5,,,,",
    "blank": ",,,,,,,,,",
}
# Line numbers in GOOD.
REGN, RA, IEC, TOT, BAL, CREDIT_1, DEBIT_1, QUANTITY_1, CREDIT_2 = 1, 2, 3, 4, 5, 7, 8, 9, 10

LEDGER = Ledger(
    file="ledger.csv",
    line=REGN,
    license_number="0310000001",
    license_date=date(2025, 3, 1),
    registration_number="0310000001",
    registration_date=date(2025, 3, 12),
    iec="0388000001",
    scheme_code="26",
    notification_number="025/2023",
    currency="USD",
    port_code="INNSA1",
    cif_fc=Decimal("10000.5"),
    cif_inr=Decimal(830000),
    quantity=Decimal("150.5"),
    balance_cif_fc=Decimal(7000),
    printed_on=None,
    credits=(
        Credit(CREDIT_1, 1, Decimal(100), Decimal("10000.5"), Decimal(830000)),
        Credit(CREDIT_2, 2, Decimal("50.5"), Decimal(0), Decimal(0)),
    ),
    debits=(
        Debit(
            DEBIT_1, 1, "1234567", date(2025, 4, 5), "INNSA1", Decimal("25.125"), Decimal("3000.01"), Decimal(250000)
        ),
    ),
    notes=(),
)


def lines(changes: dict[str, str | None] | None = None, number: str = "") -> list[str]:
    """The lines of GOOD with some of them changed, left out (None) or, under a new name, added at the end."""
    changed = {**GOOD, **(changes or {})}
    text = [line for line in changed.values() if line is not None]
    return [line.replace("0310000001", number) for line in text] if number else text


def parsed(*parts: list[str] | str) -> ParsedFile:
    """What a file of these lines says."""
    text = "\n".join("\n".join([part] if isinstance(part, str) else part) for part in parts)
    return parse_bytes("ledger.csv", text.encode())


def only(file: ParsedFile) -> Ledger:
    assert file.problems == ()
    (ledger,) = file.ledgers
    return ledger


def told(file: ParsedFile) -> list[str]:
    return [str(problem) for problem in file.problems]


def test_a_ledger() -> None:
    ledger = only(parsed(lines()))
    assert ledger == LEDGER
    assert ledger.debited_cif_fc == Decimal("3000.01")
    assert ledger.totals_difference == Decimal("0.49")
    assert ledger.totals_fit
    assert ledger.newest_mention == date(2025, 4, 5)


GENEROSITY = [
    # (what, changed lines, changed fields)
    ("lost zeros",
     {"regn": "Regn.No.,310000001,Regn.Date,12/03/2025,Lic.No.,310000001.0,Lic.Date,01/03/2025",
      "iec": "IEC,388000001,Schm.Cd.,26,Notifcn.,025/2023,Frgn.Curr,USD"}, {}),
    ("text made of formulas",
     {"regn": 'Regn.No.,"=""0310000001""",Regn.Date,12/03/2025,Lic.No.,\'0310000001,Lic.Date,01/03/2025'}, {}),
    ("labels written otherwise",
     {"regn": "\ufeff REGN. NO ,0310000001,Regn.Date,12/03/2025,Lic.No.,0310000001,Lic.Date,01/03/2025",
      "tot": "tot.duty. :,0,CIF-INR.,830000,Tot.Qty.,150.5,CIF-FC,10000.5", "credit 2": "CREDIT,2,d,,,50.5"}, {}),
    ("thousands separators", {"tot": 'Tot.Duty,0,CIF-INR.,"8,30,000",Tot.Qty.,150.5,CIF-FC,"10,000.50"'}, {}),
    ("years of two digits", {"debit 1": "Debit-,1,E,,7,,,1234567,05-04-25,INNSA1"}, {}),
    ("manual and plain debits",
     {"debit 1": "Debit-,1,m,,7,,,1234567,05/04/2025,INNSA1",
      "debit 1 quantity": "Debit-,1,D,250000,2993.01,25.125,,1234567,05/04/2025,INNSA1"}, {}),
    ("credits of any type", {"credit 1": "Credit-,1,,830000,10000.5,100", "credit 2": "Credit-,2,E,,,50.5"}, {}),
    ("no balances", {"bal": None, "blank2": ""}, {"balance_cif_fc": None}),
    ("overdrawn", {"bal": "Bal.Duty,0,Bal.CIF-INR,0,Bal.Qty.,0,Bal.CIF-FC,-7000"}, {"balance_cif_fc": Decimal(-7000)}),
    ("no port", {"ra": "RA No.,,RA Date,,Iss.CH.,,Recv.CH"}, {"port_code": ""}),
    ("no registration",
     {"regn": "Regn.No.,,Regn.Date,,Lic.No.,0310000001,Lic.Date,01/03/2025"},
     {"registration_number": "", "registration_date": None}),
    ("advance authorisation of a company with a PAN in euros",
     {"iec": "IEC,abcde1234f,Schm.Cd.,3,Notifcn.,,Frgn.Curr,eur"},
     {"iec": "ABCDE1234F", "scheme_code": "03", "notification_number": "", "currency": "EUR"}),
    ("no total quantity", {"tot": "Tot.Duty,0,CIF-INR.,830000,Tot.Qty.,,CIF-FC,10000.5"}, {"quantity": Decimal(0)}),
    ("prose of any length", {"blank": "x" * 2000}, {}),
    ("header lines repeated on a later page", {"repeated": GOOD["tot"], "bal again": GOOD["bal"]}, {}),
    ("furniture",
     {"furniture": "Page No:-2\nIndian Customs EDI System - Imports\nJNCH, NHAVA SHEVA (INNSA1)\nItem Wise Ledger\n"
      "Description of Transaction Types :\n[E]->EDI,,,[M]->Manual\n[P]->EPCG\nNo.of Items,2\nTotal Pages 2"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "fields"), [row[1:] for row in GENEROSITY], ids=[row[0] for row in GENEROSITY])
def test_what_real_files_do(changes: dict[str, str | None], fields: dict[str, object]) -> None:
    ledger = only(parsed(lines(changes)))
    if changes.get("bal", "") is None:
        # the lines behind it move up
        ledger = dataclasses.replace(
            ledger,
            credits=tuple(dataclasses.replace(credit, line=credit.line + 1) for credit in ledger.credits),
            debits=tuple(dataclasses.replace(debit, line=debit.line + 1) for debit in ledger.debits),
        )
    assert ledger == dataclasses.replace(LEDGER, **fields)  # type: ignore[arg-type]


def test_totals_that_do_not_fit_are_told_and_not_refused() -> None:
    ledger = only(parsed(lines({"debit 1": None})))
    assert ledger.totals_difference == Decimal("7.49")
    assert not ledger.totals_fit


@pytest.mark.parametrize(
    ("balance", "fits"), [("7001.49", True), ("7001.5", False), ("6999.49", True), ("6999", False)]
)
def test_totals_fit_give_or_take_1(balance: str, fits: bool) -> None:
    ledger = only(parsed(lines({"bal": f"Bal.Duty,0,Bal.CIF-INR,0,Bal.Qty.,0,Bal.CIF-FC,{balance}"})))
    assert ledger.totals_fit is fits


def test_totals_that_nobody_can_check_do_not_fit() -> None:
    ledger = only(parsed(lines({"bal": None})))
    assert ledger.totals_difference is None
    assert not ledger.totals_fit


def regn(number: str = "0310000001", registered: str = "", date: str = "01/03/2025") -> dict[str, str]:
    return {"regn": f"Regn.No.,{number},Regn.Date,{registered},Lic.No.,0310000001,Lic.Date,{date}"}


def iec(iec: str = "0388000001", scheme: str = "26", notification: str = "", currency: str = "USD") -> dict[str, str]:
    return {"iec": f"IEC,{iec},Schm.Cd.,{scheme},Notifcn.,{notification},Frgn.Curr,{currency}"}


def bal(inr: str = "0", fc: str = "7000") -> dict[str, str]:
    return {"bal": f"Bal.Duty,0,Bal.CIF-INR,{inr},Bal.Qty.,0,Bal.CIF-FC,{fc}"}


def credit_2(cells: str) -> dict[str, str]:
    return {"credit 2": f"Credit-,{cells}"}


def debit(
    serial: str = "1",
    type: str = "E",  # noqa: A002
    inr: str = "",
    fc: str = "7",
    number: str = "1234567",
    date: str = "05/04/2025",
    port: str = "INNSA1",
) -> dict[str, str]:
    return {"debit 1": f"Debit-,{serial},{type},{inr},{fc},,,{number},{date},{port}"}


# Places of cells: (line, cell, name).
AT_TYPE, AT_DATE = (DEBIT_1, 3, "type"), (DEBIT_1, 9, "BE date")

FAULTS = [
    # (what, changed lines, place of the problem, what it says)
    ("no such day", debit(date="31/02/2025"), AT_DATE, "'31/02/2025' is not a date"),
    ("bill without a date", debit(date=""), AT_DATE, "is blank"),
    ("debit cut off", {"debit 1": "Debit-,1,E,,7,,,1234567"}, AT_DATE, "is blank"),
    ("bill without a number", debit(number=""), (DEBIT_1, 8, "BE number"), "is blank"),
    ("port of seven", debit(port="INNSA11"), (DEBIT_1, 10, "port code"), "not a port code"),
    ("amount in words", debit(fc="seven"), (DEBIT_1, 5, "CIF FC"), "'seven' is not a number"),
    ("negative debit", debit(fc="-7"), (DEBIT_1, 5, "CIF FC"), "'-7' is negative"),
    ("negative rupees", debit(inr="-7"), (DEBIT_1, 4, "CIF INR"), "'-7' is negative"),
    ("shortened amount", debit(fc="1.0E+4"), (DEBIT_1, 5, "CIF FC"), "shortened by a spreadsheet"),
    ("too much", debit(inr="99999999999999"), (DEBIT_1, 4, "CIF INR"), "is too large"),
    ("sums too large", debit(fc="9999999999999"), (DEBIT_1, None, ""), "is too large"),
    ("debit without a credit", debit("3"), (DEBIT_1, 2, "serial number"), "'3' has no Credit- line"),
    ("EPCG", debit(type="P"), AT_TYPE, "'P' means EPCG"),
    ("release advice", debit(type="R"), AT_TYPE, "'R' means release advice out"),
    ("spares", debit(type="s"), AT_TYPE, "'s' means spares"),
    ("unutilised", debit(type="U"), AT_TYPE, "'U' means unutilised release advice"),
    ("unknown type", debit(type="X"), AT_TYPE, "'X' is not a type"),
    ("our own type", debit(type="C"), AT_TYPE, "'C' is not a type"),
    ("debit without a type", debit(type=""), AT_TYPE, "is blank"),
    ("one cell more", debit(port="INNSA1,5"), (DEBIT_1, 11, "one too many"), "in quotation marks"),
    ("misspelt label", {"debit 1": "Dbeit-,1,E,,7,,,1,05/04/2025,"}, (DEBIT_1, None, ""), "looks like a record"),
    ("lost label", {"debit 1": ",1,E,,7,,,1,05/04/2025,"}, (DEBIT_1, None, ""), "looks like a record"),
    ("other separator", {"debit 1": "Debit-;1;E;;7;;;1;05/04/2025"}, (DEBIT_1, None, ""), "looks like a record"),
    ("credit of release advice", credit_2("2,R,,,50.5"), (CREDIT_2, 3, "type"), "'R' means release advice out"),
    ("credit of unknown type", credit_2("2,Q,,,50.5"), (CREDIT_2, 3, "type"), "'Q' is not a type"),
    ("quantity in words", credit_2("2,D,,,many"), (CREDIT_2, 6, "quantity"), "'many' is not a number"),
    ("duty in words", credit_2("2,D,,,50.5,nil"), (CREDIT_2, 7, "duty"), "'nil' is not a number"),
    ("no serial number", credit_2(",D,,,50.5"), (CREDIT_2, 2, "serial number"), "is blank"),
    ("serial number 0", credit_2("0,D,,,50.5"), (CREDIT_2, 2, "serial number"), "is not a serial number"),
    ("separators unquoted", credit_2("2,D,8,30,000,10,000.5,1"), (CREDIT_2, 8, "one too many"), "in quotation marks"),
    ("open quotation mark", credit_2('2,D,,,"50.5'), (CREDIT_2, 6, "cut off"), "opened and not closed"),
    ("endless cell", credit_2("2,D,,,50.5" + "0" * 1000), (CREDIT_2, 6, "too long"), "has 1,004 characters"),
    ("endless furniture", {"blank": "Page,," + "0" * 1001}, (11, 3, "too long"), "has 1,001 characters"),
    ("two credits", {"blank": "Credit-,2,D,,,50.5"}, (11, 2, "serial number"), "has 2 Credit- lines, line 10 and 11"),
    ("two credits, too few", {"tot": "Tot.Duty,0,,830000,,300,,10000.5", "blank": "Credit-,2,D,,,50.5"},
     (11, 2, "serial number"), "has 2 Credit- lines"),
    ("two credits, one small", {"blank": "Credit-,2,D,,,1"}, (11, 2, "serial number"), "has 2 Credit- lines"),
    ("no license date", regn(date=""), (REGN, 8, "license date"), "is blank"),
    ("registered never", regn(registered="32/03/2025"), (REGN, 4, "registration date"), "'32/03/2025' is not a date"),
    ("registration to come", regn("to come"), (REGN, 2, "registration number"), "'to come' is not a number of a"),
    ("RA soon", {"ra": "RA No.,,RA Date,soon,Iss.CH."}, (RA, 4, "RA date"), "'soon' is not a date"),
    ("port in prose", {"ra": "RA No.,,,,,Nhava Sheva"}, (RA, 6, "issuing custom house"), "not a port code"),
    ("IEC too short", iec("ABCD1234F"), (IEC, 2, "IEC"), "not an importer-exporter code"),
    ("no scheme", iec(scheme=""), (IEC, 4, "scheme code"), "is blank"),
    ("notification too long", iec(notification="9" * 51), (IEC, 6, "notification"), "is too long"),
    ("currency in signs", iec(currency="$"), (IEC, 8, "currency"), "'$' is not a currency"),
    ("scrip", iec(scheme="28") | debit("9", "Z"), (IEC, 4, "scheme code"), "'28' is the scheme of scrips"),
    ("no currency", iec(currency="") | debit("9", "Z"), (IEC, 8, "currency"), "is blank, as it is for scrips"),
    ("no IEC line", {"iec": "Page No:-1"}, (REGN, None, ""), "the license has no IEC line"),
    ("no totals", {"tot": "Page No:-1"}, (REGN, None, ""), "the license has no Tot.Duty line"),
    ("negative total", {"tot": "Tot.Duty,0,,1,,150.5,,-1"}, (TOT, 8, "CIF FC"), "'-1' is negative"),
    ("totals unquoted", {"tot": "Tot.Duty,0,,8,30,000,,1,,1"}, (TOT, 10, "one too many"), "in quotation marks"),
    ("balance in words", bal(fc="some"), (BAL, 8, "balance of CIF FC"), "'some' is not a number"),
    ("rupees in words", bal(inr="some"), (BAL, 4, "balance of CIF INR"), "'some' is not a number"),
    ("other totals", {"blank": "Tot.Duty,0,,1,,150.5,,1"}, (11, None, ""), "something else than that of line 4"),
    ("other IEC", {"blank": iec()["iec"]}, (11, None, ""), "this IEC line says something else than that of line 3"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "place", "message"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_fault_keeps_its_license_out_and_no_other(
    changes: dict[str, str | None], place: tuple[int, int | None, str], message: str
) -> None:
    file = parsed(lines(changes), lines(number="0310000002"))
    (problem,) = file.problems
    assert (problem.line, problem.cell, problem.cell_name) == place
    assert message in problem.message
    assert (problem.license_number, problem.license_line) == ("0310000001", REGN)
    assert str(problem).endswith("License 0310000001 is not loaded.")
    assert [ledger.license_number for ledger in file.ledgers] == ["0310000002"]


def test_all_problems_of_a_license_are_told() -> None:
    file = parsed(
        lines(
            {
                "iec": None,
                "debit 1": "Debit-,x,P,a,b,c,d,,e,f-g",
                "credit 2": "Credit-,2,,,,-1",
                "regn": "Regn.No.,,,,1",
            }
        )
    )
    assert told(file) == [
        f"ledger.csv:{where} The license at line 1 is not loaded."
        for where in (
            "1: the license has no IEC line: a page is missing, or the file was cut; download it again.",
            "1: cell 6 (license number) is blank; the license number is needed.",
            "1: cell 8 (license date) is blank; a date is needed.",
            "7: cell 2 (serial number) 'x' is not a serial number; it is a whole number from 1 on.",
            "7: cell 3 (type) 'P' means EPCG, which is no import on the item; enter this license by hand.",
            "7: cell 4 (CIF INR) 'a' is not a number; write it as 1234.56.",
            "7: cell 5 (CIF FC) 'b' is not a number; write it as 1234.56.",
            "7: cell 6 (quantity) 'c' is not a number; write it as 1234.56.",
            "7: cell 7 (duty) 'd' is not a number; write it as 1234.56.",
            "7: cell 8 (BE number) is blank; a debit needs the number of its bill of entry.",
            "7: cell 9 (BE date) 'e' is not a date; write it as DD/MM/YYYY.",
            "7: cell 10 (port code) 'f-g' is not a port code; it has up to 6 letters and digits, such as INNSA1.",
            "9: cell 6 (quantity) '-1' is negative; only balances may be.",
        )
    ]


def test_problems_of_one_license_do_not_bury_those_of_others() -> None:
    file = parsed(lines({"bad": "\n".join(["Debit-,1,X,,,,,1,01/01/2025,"] * 50)}), lines(number="0310000002"))
    assert len(file.problems) == records.MAX_FAULTS + 1
    assert told(file)[-1] == "ledger.csv:1: and 30 more problems, not listed. License 0310000001 is not loaded."
    assert len(file.ledgers) == 1


def test_the_words_of_a_problem() -> None:
    problem = Problem("a.csv", 12, 9, "BE date", "0310000001", "'x' is not a date; write it as DD/MM/YYYY", 1)
    assert str(problem) == (
        "a.csv:12: cell 9 (BE date) 'x' is not a date; write it as DD/MM/YYYY. License 0310000001 is not loaded."
    )
    in_rows = dataclasses.replace(problem, unit="row", license_number="")
    assert str(in_rows).startswith("a.csv: row 12: cell 9")
    assert str(in_rows).endswith("The license at row 1 is not loaded.")


# --- pages, and licenses that stand twice


def test_records_before_any_license() -> None:
    file = parsed("Page No:-2", GOOD["debit 1"], GOOD["iec"], "Total Pages 2", lines())
    assert [ledger.license_number for ledger in file.ledgers] == ["0310000001"]
    assert told(file) == [
        f"ledger.csv:{line}: a {kind} line stands before any Regn.No. line: the page on which its license begins is "
        "missing; download the file again. This line is not loaded."
        for line, kind in ((2, "Debit-"), (3, "IEC"))
    ]


def footer(day: str) -> str:
    return f"Printed By: ........      Dated: {day} 15:22       Contd/..2"


@pytest.mark.parametrize(
    ("parts", "printed_on"),
    [
        # footers come after the records
        (
            [lines(), footer("29/02/2024"), lines(number="0310000002"), footer("01/03/2024")],
            [(2024, 2, 29), (2024, 3, 1)],
        ),
        ([lines(), footer("29/02/24")], [(2024, 2, 29)]),
        # the newest of several pages
        ([lines(), footer("02/03/2024"), GOOD["columns"], footer("01/03/2024")], [(2024, 3, 2)]),
        # a date in front heads the whole file, but only what has none of its own
        (
            [footer("01/01/2024"), lines(), lines(number="0310000002"), footer("01/03/2024")],
            [(2024, 1, 1), (2024, 3, 1)],
        ),
        # in a cell of its own, or in lower case
        ([lines(), "Printed By,me,dated:,02/03/2024,15:22"], [(2024, 3, 2)]),
        # what is no print date
        ([lines(), "Updated: 02/03/2024"], [None]),
        ([lines(), "Dated: ........"], [None]),
        ([lines({"iec": GOOD["iec"].replace("025/2023", "025/2023 dated 02/03/2023")})], [None]),
    ],
)
def test_print_dates(parts: list[list[str] | str], printed_on: list[tuple[int, int, int] | None]) -> None:
    file = parsed(*parts)
    assert file.problems == ()
    assert [ledger.printed_on for ledger in file.ledgers] == [day and date(*day) for day in printed_on]


def test_a_print_date_that_is_none_is_noted() -> None:
    ledger = only(parsed(footer("30/02/2024"), lines(), footer("31/02/2024")))
    assert ledger.printed_on is None
    assert ledger.notes == (
        "The print date '31/02/2024' at line 13 was passed over: it is not a date; write it as DD/MM/YYYY.",
        "The print date '30/02/2024' at line 1 was passed over: it is not a date; write it as DD/MM/YYYY.",
    )


HEADER = [GOOD[name] for name in ("regn", "ra", "iec", "tot", "bal", "columns")]


def without_places(ledger: Ledger) -> Ledger:
    """The ledger without file, lines and notes, which differ from one format to another."""
    return dataclasses.replace(
        ledger,
        file="",
        line=0,
        credits=tuple(dataclasses.replace(credit, line=0) for credit in ledger.credits),
        debits=tuple(dataclasses.replace(debit, line=0) for debit in ledger.debits),
        notes=(),
    )


def test_pages_that_repeat_the_header_lines_are_one_ledger() -> None:
    first = [*HEADER, GOOD["credit 1"], GOOD["debit 1"], footer("01/05/2025")]
    second = [*HEADER, GOOD["debit 1 quantity"], GOOD["credit 2"], footer("01/05/2025")]
    expected = dataclasses.replace(without_places(LEDGER), printed_on=date(2025, 5, 1))
    assert without_places(only(parsed(first, second))) == expected
    # pages of two licenses in between each other
    mixed = parsed(first, lines(number="0310000002"), second)
    assert mixed.problems == ()
    assert [ledger.license_number for ledger in mixed.ledgers] == ["0310000001", "0310000002"]
    assert without_places(mixed.ledgers[0]) == expected


def test_a_page_with_other_header_lines_is_a_problem() -> None:
    first = [*HEADER, GOOD["credit 1"], GOOD["debit 1"]]
    second = [*HEADER[:4], HEADER[4].replace("7000", "6000"), GOOD["debit 1 quantity"], GOOD["credit 2"]]
    assert told(parsed(first, second)) == [
        (
            "ledger.csv:13: this Bal.Duty line says something else than that of line 5: pages of two ledgers are "
            "mixed; download the file again. License 0310000001 is not loaded."
        )
    ]


def test_what_a_later_page_adds_to_its_ledger() -> None:
    first = [*HEADER[:4], GOOD["credit 1"], GOOD["debit 1"]]
    second = [*HEADER, GOOD["debit 1 quantity"], GOOD["credit 2"], footer("31/04/2025"), footer("01/05/2025")]
    ledger = only(parsed(first, second))
    assert without_places(ledger) == dataclasses.replace(without_places(LEDGER), printed_on=date(2025, 5, 1))
    assert ledger.notes == (
        "The print date '31/04/2025' at line 15 was passed over: it is not a date; write it as DD/MM/YYYY.",
    )
    faulty = parsed(first, [*second, *["Debit-,2,X,,,,,1,01/01/2025,"] * 25])
    assert [problem.line for problem in faulty.problems] == [*range(17, 37), 1]
    assert faulty.problems[-1].message == "and 5 more problems, not listed"
    # a third page that begins with what the second holds is another print
    file = parsed(first, [*HEADER, GOOD["debit 1 quantity"], GOOD["credit 2"]], lines())
    assert only(file).notes == (
        "Another print of this license, at line 1, was passed over: this one stands later in the file.",
    )
    file = parsed([*HEADER, GOOD["credit 1"]], [*HEADER, GOOD["credit 2"]], [*HEADER, GOOD["credit 2"]])
    assert only(file).line == 15
    assert not only(file).totals_fit


def test_a_print_of_another_day_is_no_later_page() -> None:
    cut_off = lines({"credit 1": None, "debit 1": None, "debit 1 quantity": None, "credit 2": None})
    assert older_and_newer(cut_off, footer("01/05/2025"), newer(), footer("01/07/2025")) == (2,)


def newer() -> list[str]:
    """The same license after another import."""
    return lines({"bal": GOOD["bal"].replace("7000", "6000"), "new": "Debit-,2,E,,1000,1,,7654321,01/06/2025,INMUN1"})


def older_and_newer(*parts: list[str] | str) -> tuple[int, ...]:
    """How many debits each ledger of the file has: one is the older print, two the newer."""
    file = parsed(*parts)
    assert file.problems == ()
    return tuple(len(ledger.debits) for ledger in file.ledgers)


def test_of_two_prints_the_newer_counts() -> None:
    assert older_and_newer(newer(), footer("01/07/2025"), lines(), footer("01/05/2025")) == (2,)
    assert older_and_newer(lines(), footer("01/05/2025"), newer(), footer("01/07/2025")) == (2,)
    # not the order of the days' letters
    assert older_and_newer(newer(), footer("01/07/2025"), lines(), footer("30/06/2025")) == (2,)


def test_of_two_prints_of_one_day_or_of_no_known_day_the_later_counts() -> None:
    assert older_and_newer(lines(), newer()) == (2,)
    assert older_and_newer(newer(), lines()) == (1,)
    assert older_and_newer(lines(), footer("01/05/2025"), newer(), footer("01/05/2025")) == (2,)
    assert older_and_newer(newer(), footer("01/05/2025"), lines()) == (1,)
    assert older_and_newer(lines(), newer(), footer("01/05/2025")) == (2,)


def test_of_three_prints_an_undated_one_does_not_hide_which_is_newest() -> None:
    may, june = (lines(), footer("01/05/2025")), (newer(), footer("01/06/2025"))
    assert older_and_newer(*june, lines(), *may) == (1,)
    assert older_and_newer(lines(), *june, *may) == (2,)


def test_the_print_that_is_passed_over_is_named() -> None:
    file = parsed(newer(), footer("01/07/2025"), lines({"debit 1": "Debit-,1,X"}), footer("01/05/2025"))
    assert only(file).notes == (
        "Another print of this license, at line 14, was passed over: this one is newer. It has problems of its own.",
    )
    assert only(parsed(lines(), lines())).notes == (
        "Another print of this license, at line 1, was passed over: this one stands later in the file.",
    )


def test_a_faulty_newer_print_is_not_replaced_by_an_older_one() -> None:
    file = parsed(
        lines(), footer("01/05/2025"), lines({"debit 1": "Debit-,1,X,,,,,1,01/01/2025"}), footer("01/07/2025")
    )
    assert file.ledgers == ()
    assert told(file) == [
        "ledger.csv:20: cell 3 (type) 'X' is not a type of a line; it is E, M or D. License 0310000001 is not loaded.",
        (
            "ledger.csv:13: the print at line 1 is not taken in its place; correct the one that begins here. "
            "License 0310000001 is not loaded."
        ),
    ]


# --- lines that are added up


def test_lines_of_one_bill_on_one_item_are_one_debit_rounded_at_the_end() -> None:
    bill = "Debit-,2,E,{},{},{},,7777,01/06/2025,{}"
    ledger = only(
        parsed(
            lines(
                {
                    "a": bill.format("0.001", "0.004", "0.0004", ""),
                    "of another day": bill.format("1", "1", "1", "INMUN1").replace("01/06", "02/06"),
                    "of another item": bill.format("2", "2", "2", "INMUN1").replace("Debit-,2", "Debit-,1"),
                    "b": bill.format("0.004", "0.004", "0.0004", "INMUN1"),
                }
            )
        )
    )
    assert ledger.debits[1:] == (
        Debit(12, 2, "7777", date(2025, 6, 1), "INMUN1", Decimal("0.001"), Decimal("0.01"), Decimal("0.01")),
        Debit(13, 2, "7777", date(2025, 6, 2), "INMUN1", Decimal(1), Decimal(1), Decimal(1)),
        Debit(14, 1, "7777", date(2025, 6, 1), "INMUN1", Decimal(2), Decimal(2), Decimal(2)),
    )
    assert ledger.notes == ()


def test_a_bill_of_several_ports() -> None:
    ledger = only(parsed(lines({"again": "Debit-,1,E,,1,,,1234567,05/04/2025,INMUN1"})))
    assert ledger.debits[0].port_code == "INNSA1"
    assert ledger.notes == (
        (
            "Bill 1234567 of 05/04/2025 on serial number 1, from line 8 on, names several ports (INNSA1, INMUN1): "
            "INNSA1 was taken."
        ),
    )


def test_a_credit_that_was_enhanced() -> None:
    enhanced = {"tot": GOOD["tot"].replace("150.5", "160.5"), "again": "Credit-,2,D,,5,10"}
    ledger = only(parsed(lines(enhanced)))
    assert ledger.credits[1] == Credit(CREDIT_2, 2, Decimal("60.5"), Decimal(5), Decimal(0))
    assert ledger.notes == (
        (
            "Serial number 2 has 2 Credit- lines, line 10 and 12, which were added up: with all of them the quantities "
            "come to Tot.Qty."
        ),
    )


def test_quantities_that_do_not_come_to_the_total_are_noted() -> None:
    assert only(parsed(lines({"credit 2": None}))).notes == (
        "The quantities of the Credit- lines come to 100, Tot.Qty. is 150.5: a page may be missing.",
    )
    assert only(parsed(lines({"tot": GOOD["tot"].replace("150.5", "151.5")}))).notes == ()


# --- whole files


def test_a_web_page_on_one_line_names_rows() -> None:
    page = html_file([LICENSE], Mess(is_html_on_one_line=True)).replace(b"01/06/2025", b"31/06/2025")
    (problem,) = parse_bytes("ledger.htm", page).problems
    assert str(problem) == (
        "ledger.htm: row 9: cell 9 (BE date) '31/06/2025' is not a date; write it as DD/MM/YYYY. "
        "License 0310000001 is not loaded."
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty; download it again"),
        (b"\xef\xbb\xbf\r\n", "the file is empty; download it again"),
        (
            b"Page No:-1\n",
            "the file has no line that begins with Regn.No., so it is no item-wise ledger; choose another",
        ),
        (
            b"<html><p>none</p>",
            "the file has no line that begins with Regn.No., so it is no item-wise ledger; choose another",
        ),
        (b"PK\x03\x04", "the file is an Excel workbook (XLSX) or another ZIP archive; save it as CSV"),
    ],
)
def test_files_that_are_no_ledger(data: bytes, message: str) -> None:
    file = parse_bytes("x", data)
    assert file.ledgers == ()
    (problem,) = told(file)
    assert problem.startswith(f"x: {message}")
    assert problem.endswith(". The file is not loaded.")


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (missing,) = parse_file(tmp_path / "none.csv").problems
    assert str(missing) == (
        f"{tmp_path}/none.csv: the file cannot be read (No such file or directory); check the path and its "
        "permissions. The file is not loaded."
    )
    assert "cannot be read" in parse_file(tmp_path).problems[0].message
    assert "cannot be read" in parse_file("a\0b").problems[0].message
    (tmp_path / "large.csv").write_bytes(b"x" * 11)
    monkeypatch.setattr(parse, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr("ledger.icegate.rows.MAX_FILE_BYTES", 10)
    assert "is larger than" in parse_file(tmp_path / "large.csv").problems[0].message


def test_a_file_of_more_licenses_than_any_ledger_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "MOST_LICENSES", 3)
    for count, refused in ((3, False), (4, True)):
        file = parse_bytes("x", b"Regn.No.,,\n" * count)
        assert ("has 4 lines that begin with Regn.No., and no ledger has" in file.problems[0].message) is refused
        assert (len(file.problems) == 1) is refused


def test_a_file_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "ledger.pdf").write_text("\n".join(lines()))
    file = parse_file(str(tmp_path / "ledger.pdf"))
    assert file.file == str(tmp_path / "ledger.pdf")
    assert only(file) == dataclasses.replace(LEDGER, file=file.file)


# --- the samples of the repository

SAMPLE_LEDGERS = {
    # file: (license, currency, print date, credits, debits, CIF FC left by the debits)
    "dfia-2025.csv": [
        ("0310482917", "USD", None, 6, 10, "104475.25"),
        ("0310482944", "USD", None, 5, 7, "-612.35"),
        ("0310497706", "EUR", None, 4, 5, "47535.18"),
        ("0311020358", "USD", None, 12, 5, "177534.54"),
    ],
    "dfia-2025-printed.txt": [
        ("0310455381", "USD", date(2025, 12, 15), 7, 7, "38309.96"),
        ("0310612034", "USD", date(2025, 12, 15), 11, 12, "122864.55"),
        ("0310399120", "USD", date(2025, 12, 15), 5, 11, "58729.38"),
    ],
    "advance-2025.htm": [
        ("0311007745", "USD", date(2025, 12, 22), 3, 9, "209894.09"),
        ("0311007752", "USD", date(2025, 12, 22), 2, 4, "65470.93"),
        ("0311133890", "EUR", date(2025, 12, 22), 4, 3, "35903.32"),
    ],
}


@pytest.mark.parametrize("name", SAMPLE_LEDGERS)
def test_good_samples(name: str) -> None:
    file = parse_file(SAMPLES / name)
    assert file.problems == ()
    assert [
        (
            ledger.license_number,
            ledger.currency,
            ledger.printed_on,
            len(ledger.credits),
            len(ledger.debits),
            str(ledger.cif_fc - ledger.debited_cif_fc),
        )
        for ledger in file.ledgers
    ] == SAMPLE_LEDGERS[name]
    assert all(ledger.totals_fit for ledger in file.ledgers)


def test_a_bill_shared_by_two_licenses_of_the_samples() -> None:
    shared = [
        (ledger.license_number, debit.serial_number, debit.quantity, debit.cif_fc)
        for ledger in parse_file(SAMPLES / "dfia-2025.csv").ledgers
        for debit in ledger.debits
        if debit.number == "4417083"
    ]
    assert shared == [
        ("0310482917", 3, Decimal("412.5"), Decimal("6180.4")),
        ("0310482944", 2, Decimal("208.125"), Decimal("3090.2")),
    ]


def test_the_broken_sample() -> None:
    file = parse_file(SAMPLES / "broken.csv")
    assert [(ledger.license_number, ledger.totals_fit) for ledger in file.ledgers] == [
        ("0310530001", True),
        ("0310530011", False),
    ]
    assert [
        (problem.line, problem.cell, problem.license_number.removeprefix("03105300")) for problem in file.problems
    ] == [
        (22, 9, "02"),
        (38, 8, "03"),
        (51, 2, "04"),
        (62, 6, "05"),
        (69, 8, "06"),
        (87, 11, "07"),
        (103, 3, "08"),
        (107, 4, "09"),
        (118, None, "10"),
        (142, 6, ""),
        (168, 2, "13"),
        (171, 2, "14"),
        (193, 5, "15"),
        (209, None, "16"),
    ]


# --- properties


LICENSE = License(
    number="0310000001",
    date=date(2025, 3, 1),
    iec="0388000001",
    cif_fc=Decimal("1113026.5"),
    cif_inr=Decimal(93000000),
    items=(Item(1, Decimal(1000), Decimal("1113026.5"), Decimal(93000000)), Item(2, Decimal("50.5"))),
    bills=(Bill(1, "1234567", date(2025, 6, 1), "INNSA1", Decimal("5.5"), Decimal("1000.55")),),
)

MONEY = st.decimals(min_value=0, max_value=Decimal("99999999.99"), places=2, allow_nan=False)
QUANTITIES = st.decimals(min_value=0, max_value=Decimal("9999999.999"), places=3, allow_nan=False)
DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31))
LONG_NUMBERS = st.integers(1, 9_999_999_999).map(lambda number: f"{number:010}")
IECS = LONG_NUMBERS | st.from_regex(r"[A-Z]{5}[0-9]{4}[A-Z]", fullmatch=True)
PORTS = st.sampled_from(["INNSA1", "INMUN1", "INBOM4", ""])


@st.composite
def licenses(draw: st.DrawFn, printed_on: date | None) -> License:
    serial_numbers = draw(st.lists(st.integers(1, 120), min_size=1, max_size=6, unique=True))
    items = tuple(
        Item(serial_number, draw(QUANTITIES), draw(MONEY) if place == 0 else Decimal(0))
        for place, serial_number in enumerate(serial_numbers)
    )
    keys = st.tuples(st.sampled_from(serial_numbers), st.integers(1, 99_999_999).map(str), DAYS)
    bills = tuple(
        Bill(*key, draw(PORTS), draw(QUANTITIES), draw(MONEY), draw(MONEY), draw(st.sampled_from("EMD")))
        for key in draw(st.lists(keys, max_size=8, unique=True))
    )
    return License(
        number=draw(LONG_NUMBERS),
        date=draw(DAYS),
        iec=draw(IECS),
        cif_fc=draw(MONEY),
        cif_inr=draw(MONEY),
        items=items,
        bills=bills,
        registration_number=draw(LONG_NUMBERS | st.just("")),
        registration_date=draw(DAYS | st.none()),
        scheme_code=draw(st.sampled_from(["26", "03"])),
        notification_number=draw(st.sampled_from(["025/2023", "098/2009", "19/2015 & 20/2015, as amended", ""])),
        currency=draw(st.sampled_from(["USD", "EUR", "JPY"])),
        port_code=draw(PORTS),
        printed_on=printed_on,
        has_balances=draw(st.booleans()),
    )


# One print date for the whole file, as downloads have it.
FILES = (DAYS | st.none()).flatmap(
    lambda day: st.lists(licenses(day), min_size=1, max_size=3, unique_by=lambda each: each.number)
)
MESSES = st.builds(
    Mess,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    value_prefix=st.sampled_from(["", ": ", ":\xa0"]),
    padding=st.sampled_from(["", " ", "\xa0"]),
    separators=st.sampled_from(["none", "western", "indian"]),
    is_every_cell_quoted=st.booleans(),
    is_two_digit_year=st.booleans(),
    date_separator=st.sampled_from(["/", "-", "."]),
    has_lost_zeros=st.booleans(),
    are_codes_formulas=st.booleans(),
    are_bills_split=st.booleans(),
    rows_per_page=st.integers(0, 7),
    is_header_on_every_page=st.booleans(),
    is_html_on_one_line=st.booleans(),
    are_tags_left_open=st.booleans(),
)


def expected(described: License, printed_on: date | None) -> Ledger:
    """What the parser should make of it, places and notes aside."""
    bills_of = defaultdict(list)
    for bill in described.bills:
        bills_of[bill.serial_number].append(bill)
    items = sorted(described.items, key=lambda item: str(item.serial_number))
    return Ledger(
        file="",
        line=0,
        license_number=described.number,
        license_date=described.date,
        registration_number=described.registration_number,
        registration_date=described.registration_date,
        iec=described.iec,
        scheme_code=described.scheme_code,
        notification_number=described.notification_number,
        currency=described.currency,
        port_code=described.port_code,
        cif_fc=described.cif_fc,
        cif_inr=described.cif_inr,
        quantity=described.quantity,
        balance_cif_fc=described.balance_cif_fc if described.has_balances else None,
        printed_on=printed_on,
        credits=tuple(Credit(0, item.serial_number, item.quantity, item.cif_fc, item.cif_inr) for item in items),
        debits=tuple(
            Debit(
                0, item.serial_number, bill.number, bill.date, bill.port_code, bill.quantity, bill.cif_fc, bill.cif_inr
            )
            for item in items
            for bill in bills_of[item.serial_number]
        ),
        notes=(),
    )


@settings(deadline=None)
@given(FILES, MESSES)
def test_the_same_ledgers_in_any_format_and_any_mess(file: list[License], mess: Mess) -> None:
    for render, is_dated in ((csv_file, False), (text_file, True), (html_file, True)):
        found = parse_bytes("ledger", render(file, mess))
        assert told(found) == []
        assert [without_places(ledger) for ledger in found.ledgers] == [
            expected(each, each.printed_on if is_dated else None) for each in file
        ]
        assert [ledger.notes for ledger in found.ledgers] == [()] * len(file)
        assert [ledger.totals_fit for ledger in found.ledgers] == [each.has_balances for each in file]


@settings(deadline=None)
@given(FILES, MESSES, st.data())
def test_a_file_with_a_line_missing_is_told_or_still_fits(file: list[License], mess: Mess, data: st.DataObject) -> None:
    """No debit may get lost without a word: what customs itself has left gives it away, if it was worth more than 2."""
    written = text_file(file, mess).decode(mess.encoding).split(mess.line_end)
    lost = data.draw(st.integers(0, len(written) - 1))
    kept = mess.line_end.join(written[:lost] + written[lost + 1 :]).encode(mess.encoding)
    found = parse_bytes("ledger", kept)
    for ledger in found.ledgers:
        (whole,) = [each for each in file if each.number == ledger.license_number]
        is_whole = abs(ledger.debited_cif_fc - sum(bill.cif_fc for bill in whole.bills)) <= 2
        assert is_whole or not ledger.totals_fit
    if len(found.ledgers) < len(file):
        assert found.problems


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_ledgers_or_problems(data: bytes) -> None:
    found = parse_bytes("x", data)
    assert found.ledgers or found.problems


MANGLED = st.lists(
    st.sampled_from([*GOOD.values(), footer("01/01/2025"), "\x0c", '"', "Credit-", "Debit-,1", "Regn.No.", "IEC\t1\t2"])
    | st.text(max_size=20),
    max_size=25,
)


@settings(deadline=None)
@given(MANGLED, st.sampled_from(["\n", "\r"]), st.sampled_from(["{}", "<table><tr><td>{}</table>"]))
def test_any_lines_give_ledgers_or_problems(mangled: list[str], end: str, frame: str) -> None:
    text = end.join(mangled)
    if "<" in frame:
        text = text.replace(",", "<td>").replace(end, "<tr><td>")
    found = parse_bytes("x", frame.format(text.replace("{", "")).encode())
    assert found.ledgers or found.problems
    assert all(str(problem) for problem in found.problems)
    numbers = [ledger.license_number for ledger in found.ledgers]
    assert len(numbers) == len(set(numbers))
    refused = {problem.license_number for problem in found.problems if problem.license_number}
    assert refused.isdisjoint(numbers)

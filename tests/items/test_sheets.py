"""Files → rows: encodings, separators, workbooks, and what is refused as a whole."""

import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from license import sheets
from license.headings import SheetKind, normal, read_heading
from license.sheets import UnreadableFileError, read_sheet

TEXT = 'license_number;serial_number;description\r\n0318034063;1;"Café; ""A"" grade"\r\n\r\n0318034063;2;plain\r\n'
CELLS = [("0318034063", "1", 'Café; "A" grade'), ("0318034063", "2", "plain")]


def read(path: Path, data: bytes) -> sheets.Sheet:
    path.write_bytes(data)
    return read_sheet(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_any_encoding_separator_and_line_end(tmp_path: Path, encoding: str, delimiter: str, line_end: str) -> None:
    text = TEXT.replace("\r\n", line_end)
    if delimiter != ";":
        text = text.replace(";", delimiter).replace(f"Café{delimiter}", "Café;")
    sheet = read(tmp_path / "items.dat", text.encode(encoding))
    assert [row.cells for row in sheet.rows] == CELLS
    assert [row.line for row in sheet.rows] == [2, 4]


def test_utf_16_big_endian(tmp_path: Path) -> None:
    sheet = read(tmp_path / "items.csv", b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert [row.cells for row in sheet.rows] == CELLS


def test_a_cell_of_several_lines_and_the_separator_line_of_excel(tmp_path: Path) -> None:
    sheet = read(tmp_path / "items.csv", b'sep=;\nname;"des\ncription"\nA;"two\nlines"\nB;x\n')
    assert sheet.heading.cells == ("name", "des cription")
    assert [(row.line, row.cells) for row in sheet.rows] == [(4, ("A", "two lines")), (6, ("B", "x"))]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b" \r\n,,\n", "is empty"),
        (b"item_name,words\n", "no rows below its heading"),
        (b'item_name,words\nA,"palm\nB,oil\n', "quotation mark out of place in the row that begins in line 2"),
        (b'item_name,words\nA,"palm" oil\n', "quotation mark out of place in the row that begins in line 2"),
        (b"a,b\n\0\0,1\n", "neither CSV nor XLSX"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "neither CSV nor XLSX"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel workbook"),
        (b"%PDF-1.4", "PDF"),
        (b"PK\x03\x04 and no more", "damaged Excel workbook"),
    ],
)
def test_files_that_are_no_sheets(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(UnreadableFileError, match=why):
        read(tmp_path / "items.csv", data)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"^is a folder"):
        read_sheet(tmp_path)
    with pytest.raises(UnreadableFileError, match="does not exist"):
        read_sheet(tmp_path / "items.csv")
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_sheet(Path("a\0b"))


def test_archives_that_are_no_workbooks(tmp_path: Path, xlsx_file: Callable[..., Path]) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("items.csv", TEXT)
    with pytest.raises(UnreadableFileError, match="not an Excel workbook"):
        read_sheet(tmp_path / "a.zip")
    whole = xlsx_file([["item_name"], ["A"]])
    broken = tmp_path / "broken.xlsx"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name)[:60] if "sheet1" in name else source.read(name))
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_sheet(broken)


def test_limits(tmp_path: Path, xlsx_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    two_rows = xlsx_file([["item_name"], ["A"], ["B"]])
    monkeypatch.setattr(sheets, "MAX_ROWS", 2)
    assert len(read_sheet(two_rows).rows) == 2
    monkeypatch.setattr(sheets, "MAX_ROWS", 1)
    with pytest.raises(UnreadableFileError, match="more than 1 rows"):
        read_sheet(two_rows)
    with pytest.raises(UnreadableFileError, match="more than 1 rows"):
        read(tmp_path / "items.csv", b"item_name\nA\n\nB\n")
    monkeypatch.setattr(sheets, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(UnreadableFileError, match="unpacks to more"):
        read_sheet(two_rows)
    monkeypatch.setattr(sheets, "MAX_FILE_BYTES", 20)
    with pytest.raises(UnreadableFileError, match="larger than"):
        read_sheet(two_rows)


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (318034063, "General", "318034063"),
        (318034063, "0000000000", "318034063"),
        (318034063.0, "General", "318034063"),
        (10.5, "General", "10.5"),
        (0.1, "0%", "10%"),
        (0.075, "0.00%", "7.5%"),
        (0.29, "0%", "29%"),  # in floats it is 28.999999999999996
        (10, '0"%"', "10"),
        (10, "0\\%", "10"),
        (0.1 + 0.2, "General", "0.3"),
        (33.300000000000004, "General", "33.3"),
        (1e-7, "General", "0.0000001"),
        (100, "General", "100"),
        (0, "General", "0"),
        (1e15, "General", "1000000000000000"),
        (True, "General", "True"),
        ("0318034063", "@", "0318034063"),
        ("  two  words ", "@", "two words"),
        (datetime(2026, 1, 5), "", "2026-01-05 00:00:00"),  # noqa: DTZ001
    ],
)
def test_numbers_of_a_workbook(xlsx_file: Callable[..., Path], value: Any, number_format: str, shown: str) -> None:
    sheet = read_sheet(xlsx_file([["name", "value"], ["A", (value, number_format)]]))
    assert [row.cells for row in sheet.rows] == [("A", shown)]
    assert (sheet.unit, sheet.rows[0].line) == ("row", 2)


def test_only_the_first_worksheet_counts(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(["item_name"])
    workbook.active.append([])
    workbook.active.append(["A"])
    workbook.create_sheet("More").append(["item_name"])
    workbook.save(tmp_path / "items.xlsx")
    sheet = read_sheet(tmp_path / "items.xlsx")
    assert [(row.line, row.cells) for row in sheet.rows] == [(3, ("A",))]
    assert "only the first worksheet" in sheet.notes[0]


def test_a_workbook_that_says_a_wrong_size_is_read_whole(tmp_path: Path, xlsx_file: Callable[..., Path]) -> None:
    whole, wrong = xlsx_file([["item_name", "words"], ["A", "a"], ["B", "b"]]), tmp_path / "wrong.xlsx"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(wrong, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b'ref="A1:B3"', b'ref="A1"'))
    assert [row.cells for row in read_sheet(wrong).rows] == [("A", "a"), ("B", "b")]


@pytest.mark.parametrize(
    ("heading", "kind", "fields"),
    [
        ("license_number,serial_number,description", SheetKind.ITEMS, "license_number serial_number description"),
        (
            "Lic.No.,Sr.No,Sion,Condition Sheet %",
            SheetKind.ITEMS,
            "license_number serial_number norm restriction_percentage",
        ),
        ("LICENCE NO,Sr. No.,Item Name,Norm Class", SheetKind.ITEMS, "license_number serial_number item_names norm"),
        ("DFIA No.,SlNo,HSN,UOM", SheetKind.ITEMS, "license_number serial_number hs_code unit"),
        ("Item Name,Words,HS Prefix,Norm", SheetKind.NAMES, "item_name words hs_prefix norm"),
        ("item_name", SheetKind.NAMES, "item_name"),
    ],
)
def test_headings(tmp_path: Path, heading: str, kind: SheetKind, fields: str) -> None:
    found = read_heading(read(tmp_path / "items.csv", f"{heading}\nx\n".encode()))
    assert (found.kind, list(found.places)) == (kind, fields.split())


@pytest.mark.parametrize(
    ("heading", "why"),
    [
        ("a,b", "neither that of an item sheet"),
        ("serial_number,description", "has no column license_number"),
        ("license_number,description", "has no column serial_number"),
        ("license_number,serial_number", "says nothing of its items"),
        ("license_number,serial_number,Remarks", "says nothing of its items"),
        ("Lic.No.,License Number,Sr.No,unit", "two columns for license_number, 'Lic.No.' and 'License Number'"),
    ],
)
def test_headings_that_are_refused(tmp_path: Path, heading: str, why: str) -> None:
    with pytest.raises(UnreadableFileError, match=why):
        read_heading(read(tmp_path / "items.csv", f"{heading}\nx\n".encode()))


def test_names_of_columns_are_compared_without_case_spaces_underscores_and_points() -> None:
    assert normal(" Lic. No_ ") == "licno"

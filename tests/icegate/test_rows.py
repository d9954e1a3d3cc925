"""Bytes to rows: encodings, separators, quotation marks, line ends, web pages, and what is refused."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.icegate import rows as rows_module
from ledger.icegate.cells import Kind
from ledger.icegate.rows import Row, UnreadableFileError, read_rows

RECORDS = "Regn.No.,1,Regn.Date,28/10/2025\r\nIEC,é–2\r\n"


def read(data: bytes | str) -> list[Row]:
    return list(read_rows(data.encode() if isinstance(data, str) else data).rows)


def cells_of(data: bytes | str) -> list[tuple[str, ...]]:
    return [row.cells for row in read(data)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str) -> None:
    first, second, _ = read(RECORDS.encode(encoding))
    assert first == Row(1, ("Regn.No.", "1", "Regn.Date", "28/10/2025"), Kind.REGISTRATION)
    assert second == Row(2, ("IEC", "é–2"), Kind.IMPORTER)


def test_utf_16_of_either_order() -> None:
    assert cells_of(b"\xfe\xff" + "IEC,1".encode("utf-16-be")) == cells_of(b"\xff\xfe" + "IEC,1".encode("utf-16-le"))


def test_bytes_that_windows_1252_does_not_know_are_marked() -> None:
    assert cells_of(b"IEC,\x81\xe9") == [("IEC", "\ufffdé")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    rows = read(end.join(["Regn.No.,1", "", "Credit-,2", "Debit-,3"]))
    assert [(row.line, row.cells) for row in rows] == [
        (1, ("Regn.No.", "1")),
        (2, ("",)),
        (3, ("Credit-", "2")),
        (4, ("Debit-", "3")),
    ]


def test_no_other_character_ends_a_line() -> None:
    assert len(read("IEC,a\x0bb\x0cc\x85d\u2028e")) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # (what, cells of each line)
        ("Regn.No.,1,x", [("Regn.No.", "1", "x")]),
        ("Regn.No. \t: 1 \tx", [("Regn.No.", "1", "x")]),
        # a printed text has commas in its furniture
        ("JNCH, NHAVA SHEVA, A, B, C\t\nIEC\t1,5", [("JNCH, NHAVA SHEVA, A, B, C", ""), ("IEC", "1,5")]),
        # quoted amounts, in both kinds
        ('Tot.Duty,"1,11,302.61",x', [("Tot.Duty", "1,11,302.61", "x")]),
        ('Tot.Duty\t"1,11,302.61"\tx', [("Tot.Duty", "1,11,302.61", "x")]),
        ('Tot.Duty, "66,593.16" ,x', [("Tot.Duty", "66,593.16", "x")]),
        ('"IEC","say ""x""",', [("IEC", 'say "x"', "")]),
        ('"IEC","="' + '"0318"' + '"",', [("IEC", '="0318"', "")]),
        # most records decide
        ("IEC,1\nIEC,2\t\nIEC\t3", [("IEC", "1"), ("IEC", "2"), ("IEC 3",)]),
        # a quoted label still votes for its separator
        ('"IEC"\t"a,b,c"\n"IEC"\t"d"', [("IEC", "a,b,c"), ("IEC", "d")]),
    ],
)
def test_separators_and_quotation_marks(content: str, expected: list[tuple[str, ...]]) -> None:
    assert cells_of(content) == expected


def test_a_record_of_the_rarer_separator_is_still_a_record() -> None:
    tabbed = "Credit-\t1\tD\t\t\t5\n" * 3
    *_, joined, prose, _ = read(tabbed + "Debit-,1,E,5,5,5,,77,01/01/25,X\nDebit, credit and the rest\n")
    assert joined.kind is Kind.DEBIT
    assert joined.cells[7] == "77"
    assert prose.kind is None


def test_a_stray_quotation_mark_swallows_no_other_line() -> None:
    rows = read('Printed by "somebody,\nCredit-,1\n"Debit-,2\nIEC,"3\nCredit-,4')
    assert [row.kind for row in rows] == [None, Kind.CREDIT, None, Kind.IMPORTER, Kind.CREDIT]
    assert [row.is_unclosed for row in rows] == [False, False, True, True, False]


def test_an_endless_quoted_cell_is_unclosed_and_no_error() -> None:
    (row,) = read('IEC,"' + "x" * 200_000 + '"')
    assert row.is_unclosed


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b" \r\n\t,,,\xa0\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"PK\x03\x04rest", "XLSX"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "XLS"),
        (b"%PDF-1.7", "PDF"),
        (b"\x1f\x8b\x08", "GZIP"),
        (b"{\\rtf1", "RTF"),
        (b"Regn.No.,1\n\0\0", "is neither text nor a web page"),
        ("Regn.No.,1".encode("utf-16-le"), "is neither text nor a web page"),
        (b"<table><tr><td>Regn.No.<td>1<!-- <tr><td>IEC", "not closed"),
        (b"<table><tr><td>Regn.No.<td>1<script> <tr><td>IEC", "not closed"),
        (b"<table><tr><td>Regn.No.<td>1<tr><td width='", "not closed"),
        (b"<html>" + b"<div>" * 3000 + b"<tr><td>1</td></tr>", "not closed"),
        (b"<html><tr><td>1<td width='5><tr><td>2<td width='5'><tr><td>3", "2 of 3 table rows can be read"),
        (b"<table><td>Regn.No.<td>1</table>", "outside any table row"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=reason):
        read_rows(data)


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_ROWS", 3)
    assert len(read("IEC\n" * 2)) == 3
    with pytest.raises(UnreadableFileError, match="more than 3 rows"):
        read_rows(b"IEC\n" * 3)
    with pytest.raises(UnreadableFileError, match="more than 3 rows"):
        read_rows(b"<table>" + b"<tr><td>IEC" * 4)
    monkeypatch.setattr(rows_module, "MAX_FILE_BYTES", 3)
    with pytest.raises(UnreadableFileError, match="larger than"):
        read_rows(b"IEC,")


HTML = [
    # (what, page, the cells of its rows; text between rows is a row of one cell without a kind)
    ("plain", "<table><tr><td>IEC</td><td>1</td></tr></table>", [("IEC", "1")]),
    ("left open", "<TABLE><TR><TD>IEC<TD>1<TR><TD>IEC<TD>2</TABLE>", [("IEC", "1"), ("IEC", "2")]),
    ("th", "<table><tr><th>IEC<th>1</table>", [("IEC", "1")]),
    ("entities", "<tr><td>IEC&nbsp;</td><td>:&nbsp;A&amp;B&#160;&lt;</td></tr>", [("IEC", "A&B <")]),
    ("markup in cells", "<tr><td><b>I</b><font>EC</font></td><td>1<br>2</td></tr>", [("IEC", "1 2")]),
    ("white space", "<tr><td>\n  IEC\n</td>\n<td>\n1</td></tr>", [("IEC", "1")]),
    ("text between", "<p>top</p><tr><td>IEC</td></tr><p>Dated: <b>05/02/2026</b> 10:02</p>",
     [("top",), ("IEC",), ("Dated: 05/02/2026 10:02",)]),
    ("layout", "<table><tr><td>head <table><tr><td>IEC<td>1</td></tr></table> foot</td></tr></table>",
     [("head",), ("IEC", "1"), ("foot",)]),
    ("two layouts", "<table><tr><td>a<td><table><tr><td>IEC</table><table><tr><td>b</table></table>",
     [("a",), ("IEC",), ("b",)]),
    ("comments", "<!-- <tr><td>no --><tr><td>I<!-- x -->EC</td></tr><!-- <tr> -->", [("IEC",)]),
    ("scripts", "<script>'<tr>'</script><style>tr {}</style><title>t</title><tr><td>IEC</td></tr>", [("IEC",)]),
    ("pages joined", 3 * "<html><body><table><tr><td>IEC</table><div><p>x</body></html>\n",
     3 * [("IEC",), ("x",)]),
    ("pages joined, tags left open", "<html><table><tr><td>a</table><div><p>x\n</body></html>\n<html><table><tr><td>b",
     [("a",), ("x",), ("b",)]),
    ("declared otherwise", '<?xml version="1.0" encoding="utf-16"?><meta charset=utf-7><tr><td>é–</tr>', [("é–",)]),
    ("empty rows", "<table><tr></tr><tr><td></td></tr></table>", [(), ("",)]),
    ("loose furniture", "<table><td>logo</td><tr><td>IEC</table>", [("logo",), ("IEC",)]),
]  # fmt: skip


@pytest.mark.parametrize(("page", "expected"), [row[1:] for row in HTML], ids=[row[0] for row in HTML])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_html(page: str, expected: list[tuple[str, ...]], encoding: str) -> None:
    if "<html" not in page:
        page = "<html>" + page
    assert cells_of(page.encode(encoding)) == expected


def test_html_text_between_rows_is_never_a_record() -> None:
    between, row = read("<html><p>IEC</p><table><tr><td>IEC</table>")
    assert (between.kind, row.kind) == (None, Kind.IMPORTER)


def test_html_lines_count_past_what_the_parser_counts() -> None:
    sheet = read_rows(("<html>\r\n<table>" + "<tr><td>1\r\n" * 70_000 + "<!--\n\n--><tr><td>last").encode())
    assert sheet.unit == "line"
    *_, last = sheet.rows
    assert last.line == 70_004


def test_html_on_one_line_is_counted_in_rows() -> None:
    sheet = read_rows(b"<table><tr><td>IEC<tr><td>x</table>\n<table><tr><td>y</table>")
    assert sheet.unit == "row"
    assert [row.line for row in sheet.rows] == [1, 2, 3]


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_rows_or_a_refusal(data: bytes) -> None:
    with contextlib.suppress(UnreadableFileError):
        assert all(row.line >= 1 for row in read(data))


TAGS = st.sampled_from(
    ["<html>", "</html>", "<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<!--", "-->", "<p>", "<script>",
     "</script>", "<td a='", "&nbsp;", "&#0;", "<", "Regn.No.", "Credit-", "1", "\n", "<form>", "<textarea>", "<?x"]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(TAGS, max_size=40).map("".join))
def test_any_tags_give_rows_or_a_refusal(page: str) -> None:
    with contextlib.suppress(UnreadableFileError):
        lines = [row.line for row in read("<html>" + page)]
        assert lines == sorted(lines)

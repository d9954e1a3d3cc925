"""A web page → the rows of its tables, and the text between them, in the order of the document.

Rows are the innermost ones: a row that holds other rows only lays out the page, and counts as text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from ledger.icegate.cells import clean, kind_of
from ledger.icegate.ledger import Unit

_LINE_END = re.compile(r"\r\n|\n|\r")
_OUTER_TAG = re.compile(r"</?(?:html|body)\b[^<>]*>", re.IGNORECASE)
_ROW_TAG = re.compile(r"<tr(?=[\s>/])", re.IGNORECASE)
# Whose content is not markup: a row tag in there is none.
_NO_MARKUP: frozenset[object] = frozenset(
    {etree.Comment, etree.ProcessingInstruction, "script", "style", "xmp", "iframe", "noframes"}
)
_NOT_SHOWN = frozenset({"script", "style", "title"})
# No page has such an element: it is only there at the end if nothing left open swallowed it.
_END_TAG = "end-of-page"
_END_OF_PAGE = f"<{_END_TAG}></{_END_TAG}>"
_ENDS_A_WORD = frozenset({"br", "p", "div", "hr", "li"})
_CELL = frozenset({"td", "th"})


class PageError(ValueError):
    """The page cannot be read whole. The text is a predicate for people."""


@dataclass(frozen=True, slots=True)
class PageRow:
    """A table row with its cleaned cells; or, as the only cell, the text between two table rows."""

    line: int
    cells: tuple[str, ...]
    is_table_row: bool


@dataclass(frozen=True)
class Page:
    """The rows of a page, to be read once. `row_count` counts table rows, `unit` says what `PageRow.line` counts."""

    rows: Iterator[PageRow]
    row_count: int
    unit: Unit


def read_page(content: str) -> Page:
    """The rows of a page. Tags left open are tolerated; entities are decoded; colspan and rowspan mean nothing here.

    Raises PageError where rows are lost: the parser gives up on deep nesting, and a comment, tag or quotation mark left
    open swallows what follows.
    """
    content = _LINE_END.sub("\n", content)
    # libxml2 stops at `</html>`, and people join saved pages into one file.
    content = _OUTER_TAG.sub(lambda tag: "\n" * tag[0].count("\n"), content)
    # The encoding is ours to say: what a page says of itself is wrong as often as not.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True)
    root = etree.fromstring(f"<html><body>{content}{_END_OF_PAGE}</body></html>".encode(errors="replace"), parser)
    if root.find(f".//{_END_TAG}") is None:
        raise PageError("is damaged: its end is cut off, or a comment or tag is not closed; download it again")
    _refuse_loose_records(root)
    lines = _lines_of_row_tags(content)
    is_shown = _which_row_tags_are_rows(root)
    if len(is_shown) != len(lines):
        raise PageError(f"is damaged: {len(is_shown)} of {len(lines)} table rows can be read; download it again")
    numbers = [line for line, shown in zip(lines, is_shown, strict=True) if shown]
    # A page without line ends of its own is counted in rows, or every row would stand on line 1.
    is_by_line = len(set(numbers)) == len(numbers)
    if not is_by_line:
        numbers = list(range(1, len(numbers) + 1))
    return Page(_walk(root, iter(numbers)), len(numbers), "line" if is_by_line else "row")


def _lines_of_row_tags(content: str) -> list[int]:
    """The line on which each row tag stands. libxml2 itself counts no further than 65,535."""
    lines, line, seen = [], 1, 0
    for tag in _ROW_TAG.finditer(content):
        line += content.count("\n", seen, tag.start())
        seen = tag.start()
        lines.append(line)
    return lines


def _which_row_tags_are_rows(root: etree._Element) -> list[bool]:
    """For each row tag of the document, in its order, whether it is a row and not a part of a comment or a script."""
    is_row: list[bool] = []
    for element in root.iter():
        if element.tag == "tr":
            is_row.append(True)
        elif element.tag in _NO_MARKUP:
            # str: an empty element has None for its text
            is_row += [False] * len(_ROW_TAG.findall(str(element.text)))
    return is_row


def _refuse_loose_records(root: etree._Element) -> None:
    """Cells outside any row are furniture, unless a record begins in one: that must not be passed over."""
    for cell in root.iter(*_CELL):
        parent = cell.getparent()
        if parent is None or parent.tag == "tr" or next(cell.iterancestors("tr"), None) is not None:
            continue
        if kind_of(clean("".join(map(str, cell.itertext())))):
            raise PageError("is damaged: a record stands outside any table row; download it again")


def _walk(root: etree._Element, lines: Iterator[int]) -> Iterator[PageRow]:
    """The rows and the text between them; `lines` gives the line of each row tag."""
    found = _Found()
    for event, element in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if event == "start":
            if element.tag == "tr":
                yield from found.begin_row(element, next(lines))
            elif element.tag in _CELL:
                found.begin_cell()
            elif element.tag in _ENDS_A_WORD:
                found.add(" ")
            if element.tag not in _NOT_SHOWN:
                found.add(element.text)
        else:
            if element.tag in _CELL:
                found.end_cell()
            elif element is found.row:
                yield found.end_row()
            found.add(element.tail)
    yield from found.take_between()


class _Found:
    """What the walk has found since it last gave a row."""

    def __init__(self) -> None:
        self.row: etree._Element | None = None  # the one that is open
        self._line = 1
        self._cells: list[list[str]] = []  # of the open row, in pieces
        self._is_in_cell = False
        self._between: list[str] = []

    def add(self, text: str | None) -> None:
        if text:
            (self._cells[-1] if self._is_in_cell else self._between).append(text)

    def begin_row(self, element: etree._Element, line: int) -> Iterator[PageRow]:
        """Gives the text in front of the row. A row that was open holds this one: it only lays out the page."""
        self._between += [" ".join(map("".join, self._cells))]
        yield from self.take_between()
        self.row, self._line, self._cells, self._is_in_cell = element, line, [], False

    def begin_cell(self) -> None:
        if self.row is not None:
            self._cells.append([])
            self._is_in_cell = True

    def end_cell(self) -> None:
        self._is_in_cell = False
        self.add(" ")

    def end_row(self) -> PageRow:
        cells = tuple(clean("".join(cell)) for cell in self._cells)
        self.row, self._cells, self._is_in_cell = None, [], False
        return PageRow(self._line, cells, is_table_row=True)

    def take_between(self) -> Iterator[PageRow]:
        if text := clean("".join(self._between)):
            yield PageRow(self._line, (text,), is_table_row=False)
        self._between = []

"""A name sheet → the item names and match rules that it defines."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from license import sheet_cells as cells
from license.headings import Heading
from license.sheet_report import Cells, Change, Problems, Report, quoted, read_rows
from license.sheets import Sheet
from license.sql import queries

Value = TypeVar("Value", str, Decimal)
Rule = tuple[str, str]
"""Words and HS prefix, as `MatchRule` keeps them."""

COUNTED = ("names created", "names changed", "rules added", "rules removed")


@dataclass(slots=True)
class _Name:
    """What the rows of one name say together. None: nothing."""

    line: int
    norm: str | None = None
    restriction_percentage: Decimal | None = None
    rules: dict[Rule, int] = field(default_factory=dict)
    """In the order of the sheet, with the line of each."""


def load_name_sheet(sheet: Sheet, heading: Heading) -> Report:
    """Make item names and their rules what the sheet says, inside a transaction of the caller's.

    A name for which the sheet has rules ends with these rules and no other; one that it only names keeps its own.
    Raises SheetError, with nothing written, if anything in the sheet is wrong. Loaded twice, it writes nothing.
    """
    problems = Problems(sheet, heading)
    report = Report(title="name sheet", rows=len(sheet.rows), counts=Counter(dict.fromkeys(COUNTED, 0)))
    names = _read(sheet, heading, problems)
    _refuse_other_case(names, problems)
    problems.raise_any()

    changed = _write_names(names, report)
    changed |= _write_rules(names, report)
    report.unchanged = report.rows - len(changed)
    return report


def _read(sheet: Sheet, heading: Heading, problems: Problems) -> dict[str, _Name]:
    names: dict[str, _Name] = {}
    for row in read_rows(sheet, heading, problems):
        name = row.get("item_name", cells.item_name)
        norm = row.get("norm", cells.norm)
        percentage = row.get("restriction_percentage", cells.percentage)
        rule = (row.get("words", cells.words) or "", row.get("hs_prefix", cells.hs_prefix) or "")
        if name is None:
            if "item_name" not in row.wrong:
                row.refuse("item_name", "is blank; the item name is needed")
            continue
        said = names.setdefault(name, _Name(row.line))
        said.norm = _same(row, "norm", said.norm, norm)
        said.restriction_percentage = _same(row, "restriction_percentage", said.restriction_percentage, percentage)
        if any(rule):
            said.rules.setdefault(rule, row.line)
    return names


def _same(row: Cells, column: str, known: Value | None, said: Value | None) -> Value | None:
    if known is not None and said is not None and known != said:
        row.refuse(column, f"'{said}' is not what an earlier row says of this name ('{known}'); a name has one")
    return said if known is None else known


def _refuse_other_case(names: dict[str, _Name], problems: Problems) -> None:
    """Two names that differ only in case are one name to people, and would be two restrictions."""
    known = {name for _, name in queries.rows("known_names")}
    by_folded = {name.casefold(): name for name in known}
    for name, said in names.items():
        other = by_folded.setdefault(name.casefold(), name)
        if name != other and name not in known:
            problems.add(said.line, "item_name", f"{quoted(name)} is written {quoted(other)} elsewhere; write it so")


def _write_names(names: dict[str, _Name], report: Report) -> set[int]:
    """Create and update names. Returns the lines of the rows by which we know those that changed."""
    known = {name: (norm, percentage) for _, name, norm, percentage in queries.rows("lock_names", names=sorted(names))}
    created: dict[str, tuple[str | None, Decimal]] = {}
    updated: dict[str, tuple[str | None, Decimal]] = {}
    for name, said in names.items():
        norm, percentage = known.get(name, (None, Decimal("0.00")))
        new_norm = norm if said.norm is None else said.norm
        new_percentage = percentage if said.restriction_percentage is None else said.restriction_percentage
        if name not in known:
            created[name] = (new_norm, new_percentage)
            report.changes.append(Change(quoted(name), "name", "", "created"))
        if (new_norm, new_percentage) != (norm, percentage):
            if name in known:
                updated[name] = (new_norm, new_percentage)
            if new_norm != norm:
                report.changes.append(Change(quoted(name), "norm", norm or "", new_norm or ""))
            if new_percentage != percentage:
                report.changes.append(
                    Change(quoted(name), "restriction_percentage", f"{percentage} %", f"{new_percentage} %")
                )
    report.counts["names created"] += len(created)
    report.counts["names changed"] += len(updated)
    norms = {norm for norm, _ in (*created.values(), *updated.values()) if norm}
    if norms:
        queries.execute("create_norms", codes=sorted(norms))
    for statement, written in (("create_names", created), ("write_names", updated)):
        if written:
            queries.execute(
                statement,
                names=list(written),
                norms=[norm for norm, _ in written.values()],
                restriction_percentages=[percentage for _, percentage in written.values()],
            )
    return {names[name].line for name in (*created, *updated)}


def _write_rules(names: dict[str, _Name], report: Report) -> set[int]:
    """Add the rules that are missing, remove those that the sheet replaces. Returns the lines of the rows that did."""
    ruled = {name: said for name, said in names.items() if said.rules}
    known: dict[str, list[Rule]] = defaultdict(list)
    for name, words, hs_prefix in queries.rows("rules_of_names", names=sorted(ruled)):
        known[name].append((words, hs_prefix))
    added = [(name, rule) for name, said in ruled.items() for rule in said.rules if rule not in known[name]]
    removed = [(name, rule) for name, said in ruled.items() for rule in known[name] if rule not in said.rules]
    report.changes += (Change(quoted(name), "rule", "", describe(*rule)) for name, rule in added)
    report.changes += (Change(quoted(name), "rule", describe(*rule), "removed") for name, rule in removed)
    report.counts["rules added"] += len(added)
    report.counts["rules removed"] += len(removed)
    for statement, written in (("delete_rules", removed), ("create_rules", added)):
        if written:
            queries.execute(statement, **_columns(written))
    return {ruled[name].rules[rule] for name, rule in added} | {ruled[name].line for name, _ in removed}


def _columns(rules: Iterable[tuple[str, Rule]]) -> dict[str, list[str]]:
    every = list(rules)
    return {
        "names": [name for name, _ in every],
        "words": [words for _, (words, _) in every],
        "hs_prefixes": [hs_prefix for _, (_, hs_prefix) in every],
    }


def describe(words: str, hs_prefix: str) -> str:
    """A rule in a few words: `words 'palm oil' and HS 1511`."""
    parts = (words and f"words {quoted(words)}", hs_prefix and f"HS {hs_prefix}")
    return " and ".join(part for part in parts if part)

"""The way in: a file → its ledgers, and the problems that kept others out. Nothing is dropped without a word."""

import os
from pathlib import Path

from ledger.icegate.ledger import ParsedFile, Problem, Unit
from ledger.icegate.printings import read_licenses
from ledger.icegate.records import Fault
from ledger.icegate.rows import MAX_FILE_BYTES, UnreadableFileError, read_rows
from ledger.icegate.sections import read_sections

MOST_LICENSES = 200_000
"""Of a file. No ledger has so many, and lines that only look like licenses would fill the memory."""


def parse_file(path: str | os.PathLike[str]) -> ParsedFile:
    """All that the file at this path says. Raises nothing: a file that cannot be read is a problem too."""
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            # One byte more than allowed is enough to see that it is too large.
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return _refused(name, f"cannot be read ({reason}); check the path and its permissions")
    return parse_bytes(name, data)


def parse_bytes(name: str, data: bytes) -> ParsedFile:
    """All that these bytes say, for uploads. `name` is only used to say where a problem is. Raises nothing."""
    try:
        sheet = read_rows(data)
    except UnreadableFileError as error:
        return _refused(name, str(error))
    before, sections = read_sections(sheet)
    problems = [_problem(name, fault, "", None, sheet.unit) for fault in before.faults.listed(1)]
    if not sections:
        nothing_found = _refused(
            name, "has no line that begins with Regn.No., so it is no item-wise ledger; choose another"
        )
        return ParsedFile(name, (), (*nothing_found.problems, *problems))
    if len(sections) > MOST_LICENSES:
        return _refused(name, f"has {len(sections)} lines that begin with Regn.No., and no ledger has; choose another")
    outcomes = read_licenses(name, sections, before)
    for outcome in outcomes:
        problems += [
            _problem(name, fault, outcome.license_number, outcome.license_line, sheet.unit) for fault in outcome.faults
        ]
    return ParsedFile(name, tuple(outcome.ledger for outcome in outcomes if outcome.ledger), tuple(problems))


def _refused(name: str, message: str) -> ParsedFile:
    return ParsedFile(name, (), (Problem(name, None, None, "", "", f"the file {message}"),))


def _problem(name: str, fault: Fault, license_number: str, license_line: int | None, unit: Unit) -> Problem:
    return Problem(name, fault.line, fault.cell, fault.cell_name, license_number, fault.message, license_line, unit)

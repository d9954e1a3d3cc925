"""CSV files that commands write."""

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from pathlib import Path

from django.core.management.base import CommandError, OutputWrapper

from desk.workbook import Cell, Column, csv_lines


def add_arguments(parser: ArgumentParser) -> None:
    """`--output`."""
    parser.add_argument("--output", metavar="FILE", type=Path, help="write to a file; default: standard output")


def write(
    stdout: OutputWrapper, output: Path | None, columns: Sequence[Column], rows: Iterable[Iterable[Cell]]
) -> None:
    """Row by row, however many there are. A file is there when all of it is: it is written beside, and put in its
    place; a device or a pipe is written to. Raises CommandError where it cannot be."""
    lines = csv_lines(columns, rows)
    if output is None:
        for line in lines:
            stdout.write(line, ending="")
        return
    try:
        if output.exists() and not output.is_file():
            with output.open("w", encoding="utf-8", newline="") as file:
                file.writelines(lines)
        else:
            _put(output.resolve(), lines)
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}.") from None


def _put(output: Path, lines: Iterable[str]) -> None:
    beside = output.with_name(f".{output.name}.part")
    with beside.open("w", encoding="utf-8", newline="") as file:
        try:
            file.writelines(lines)
            file.close()
            beside.replace(output)
        except BaseException:
            beside.unlink()
            raise

"""The report of a run as text: on a terminal, in a task's output, in a mail."""

import io

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from license.formats import day, grouped
from reconcile.models import ReconciliationRun
from reconcile.report import SOON_DAYS, Report, headline, license_name, span, warnings, words

WIDTH = 120
WIDEST = 1_000


def as_text(report: Report, width: int | None = WIDTH) -> str:
    """Plain text, `width` columns wide; None: as wide as the terminal."""
    text = io.StringIO()
    console = Console(file=text, highlight=False, markup=False, width=width)
    run = report.run
    console.print(
        f"Run {run.pk} of {day(run.business_date)}, {run.get_trigger_display()}, {span(run)}: {headline(report)}"
    )
    for warning in warnings(report):
        console.print(f"! {warning}")
    if report.drift:
        table = _table(console, "Drift", "license", "item", "field", "stored >", "expected >", "cause", "")
        for row in report.drift:
            table.add_row(
                license_name(row.license_id, row.license_number),
                _item(row.serial_number),
                row.field,
                grouped(row.stored),
                grouped(row.expected),
                row.cause,
                "repaired" if row.repaired else "not repaired",
            )
        _print(console, table, report.more_drift, run)
    for section in report.sections:
        if not section.is_kept:
            console.print(f"\n{section.title} ({section.count}): no longer kept")
            continue
        table = _table(console, f"{section.title} ({section.count})", "license", "item", "")
        for finding in section.findings:
            table.add_row(
                license_name(finding.license_id, finding.license_number),
                _item(finding.serial_number),
                words(finding, run.business_date),
            )
        _print(console, table, section.more, run)
    if report.expiring[SOON_DAYS[-1]]:
        within = ", ".join(f"{count} within {days} days" for days, count in report.expiring.items())
        console.print(f"\nExpiring with balance left: {within}.")
    return text.getvalue()


def _table(console: Console, title: str, *columns: str) -> Table:
    console.print(f"\n{title}")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=True, show_edge=False)
    for column in columns:
        # only words are broken into lines: a number that is cut is a wrong number
        table.add_column(
            column.removesuffix(" >"),
            justify="right" if column.endswith(" >") else "left",
            no_wrap=column not in ("", "cause"),
            overflow="fold",
        )
    return table


def _print(console: Console, table: Table, more: int, run: ReconciliationRun) -> None:
    # a terminal that is too narrow breaks the line, which is better than a column that breaks a number
    narrowest = Measurement.get(console, console.options.update(width=WIDEST), table).minimum
    width, console.width = console.width, max(console.width, narrowest)
    console.print(table)
    console.width = width
    if more:
        console.print(f"  and {more} more; manage.py night_report --run {run.pk} --format csv lists them all")


def _item(serial_number: int | None) -> str:
    return "" if serial_number is None else str(serial_number)

"""The report of a run as text: on a terminal, in a task's output, in a mail."""

import io

from rich.console import Console
from rich.table import Table

from license.formats import day, grouped
from reconcile.report import Report, clock, headline, warnings, words

WIDTH = 120


def as_text(report: Report, width: int | None = WIDTH) -> str:
    """Plain text, `width` columns wide; None: as wide as the terminal."""
    text = io.StringIO()
    console = Console(file=text, highlight=False, markup=False, width=width)
    run = report.run
    ended = clock(run.finished_at) if run.finished_at else "now"
    console.print(
        f"Run {run.pk} of {day(run.business_date)}, {run.get_trigger_display()}, {clock(run.started_at)} to {ended} "
        f"IST: {headline(report)}"
    )
    for warning in warnings(report):
        console.print(f"! {warning}")
    if report.drift:
        table = _table(console, "Drift", "license", "item", "field", "stored >", "expected >", "cause", "")
        for row in report.drift:
            table.add_row(
                row.license_number,
                _item(row.serial_number),
                row.field,
                grouped(row.stored),
                grouped(row.expected),
                row.cause,
                "repaired" if row.repaired else "not repaired",
            )
        _print(console, table, report.more_drift)
    for section in report.sections:
        table = _table(console, f"{section.title} ({section.count})", "license", "item", "")
        for finding in section.findings:
            table.add_row(
                finding.license_number or f"id {finding.license_id}",
                _item(finding.serial_number),
                words(finding, run.business_date),
            )
        _print(console, table, section.more)
    if report.expiring[60]:
        within = ", ".join(f"{count} within {days} days" for days, count in report.expiring.items())
        console.print(f"\nExpiring with balance left: {within}.")
    return text.getvalue()


def _table(console: Console, title: str, *columns: str) -> Table:
    console.print(f"\n{title}")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=True, show_edge=False)
    for column in columns:
        table.add_column(column.removesuffix(" >"), justify="right" if column.endswith(" >") else "left")
    return table


def _print(console: Console, table: Table, more: int) -> None:
    console.print(table)
    if more:
        console.print(f"  and {more} more; manage.py night_report --format csv lists them all")


def _item(serial_number: int | None) -> str:
    return "" if serial_number is None else str(serial_number)

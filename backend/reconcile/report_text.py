"""The report of a run as text: on a terminal, in a task's output, in a mail."""

import io

from rich.console import Console
from rich.table import Table

from license import tables
from license.formats import day, grouped
from license.tables import WIDTH_OF_A_FILE, show, table
from reconcile.evidence import why
from reconcile.models import ReconciliationRun
from reconcile.report import SOON_DAYS, Report, headline, license_name, span, warnings, words


def as_text(report: Report, width: int | None = WIDTH_OF_A_FILE) -> str:
    """Plain text, `width` columns wide; None: as wide as the terminal."""
    text = io.StringIO()
    console = tables.console(text, width)
    run = report.run
    console.print(
        f"Run {run.pk} of {day(run.business_date)}, {run.get_trigger_display()}, {span(run)}: {headline(report)}"
    )
    for warning in warnings(report):
        console.print(f"! {warning}")
    if report.drift:
        console.print("\nDrift")
        rows = table("license", "item", "field", "stored >", "expected >", "cause …", "")
        for row in report.drift:
            rows.add_row(
                license_name(row.license_id, row.license_number),
                _item(row.serial_number),
                row.field,
                grouped(row.stored),
                grouped(row.expected),
                why(row.cause, row.evidence),
                "repaired" if row.repaired else "not repaired",
            )
        _print(console, rows, report.more_drift, run)
    for section in report.sections:
        if not section.is_kept:
            console.print(f"\n{section.title} ({section.count}): no longer kept")
            continue
        console.print(f"\n{section.title} ({section.count})")
        rows = table("license", "item", "…")
        for finding in section.findings:
            rows.add_row(
                license_name(finding.license_id, finding.license_number),
                _item(finding.serial_number),
                words(finding, run.business_date),
            )
        _print(console, rows, section.more, run)
    if report.expiring[SOON_DAYS[-1]]:
        within = ", ".join(f"{count} within {days} days" for days, count in report.expiring.items())
        console.print(f"\nExpiring with balance left: {within}.")
    return text.getvalue()


def _print(console: Console, shown: Table, more: int, run: ReconciliationRun) -> None:
    show(console, shown)
    if more:
        console.print(f"  and {more} more; manage.py night_report --run {run.pk} --format csv lists them all")


def _item(serial_number: int | None) -> str:
    return "" if serial_number is None else str(serial_number)

"""The report of a run as one HTML file that needs nothing else: no script, no picture, no other file."""

from collections.abc import Sequence
from typing import Any

from django.template.loader import render_to_string

from license.chart import BARS_HEIGHT, WIDTH, bars
from license.formats import grouped
from reconcile.models import ReconciliationRun
from reconcile.report import Report, headline, license_name, span, title, warnings, words


def as_html(report: Report) -> str:
    """The whole document. Whatever stands in the data is escaped."""
    return render_to_string(
        "reconcile/report.html",
        {
            "report": report,
            "run": report.run,
            "span": span(report.run),
            "title": title(report.run),
            "headline": headline(report),
            "warnings": warnings(report),
            "drift": [
                (license_name(row.license_id, row.license_number), row, grouped(row.stored), grouped(row.expected))
                for row in report.drift
            ],
            "sections": [
                (
                    section,
                    [
                        (
                            license_name(finding.license_id, finding.license_number),
                            finding.serial_number,
                            words(finding, report.run.business_date),
                        )
                        for finding in section.findings
                    ],
                )
                for section in report.sections
            ],
            **trend(report.trend),
        },
    )


def trend(runs: Sequence[ReconciliationRun]) -> dict[str, Any]:
    """What `reconcile/trend.html` draws: of each run the licenses that drifted, and how many of them were repaired."""
    return {
        "bars": list(zip(runs, bars([(run.licenses_drifted, run.licenses_repaired) for run in runs]), strict=True)),
        "most": max((run.licenses_drifted for run in runs), default=0),
        "chart_width": WIDTH,
        "chart_height": BARS_HEIGHT,
    }

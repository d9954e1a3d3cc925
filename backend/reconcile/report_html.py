"""The report of a run as one HTML file that needs nothing else: no script, no picture, no other file."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string

from license.formats import grouped
from reconcile.models import ReconciliationRun
from reconcile.report import Report, headline, license_name, span, title, warnings, words

WIDTH, HEIGHT = 720, 120
"""Of the chart's bars, in its own units."""
FEWEST_BARS = 10
LABEL_EVERY = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """A run in the chart: licenses that drifted, and the part of them that were repaired."""

    run: ReconciliationRun
    x: int
    width: int
    height: int
    repaired_height: int
    is_labelled: bool

    @property
    def top(self) -> int:
        return HEIGHT - self.height

    @property
    def repaired_top(self) -> int:
        return HEIGHT - self.repaired_height


def as_html(report: Report) -> str:
    """The whole document. Whatever stands in the data is escaped."""
    most = max((run.licenses_drifted for run in report.trend), default=0)
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
            "bars": _bars(report.trend, most),
            "most": most,
            "chart_width": WIDTH,
            "chart_height": HEIGHT,
        },
    )


def _bars(trend: Sequence[ReconciliationRun], most: int) -> list[Bar]:
    step = WIDTH // max(len(trend), FEWEST_BARS)
    return [
        Bar(
            run=run,
            x=number * step + 2,
            width=step - 4,
            height=_high(run.licenses_drifted, most),
            repaired_height=_high(run.licenses_repaired, most),
            is_labelled=number % LABEL_EVERY == 0,
        )
        for number, run in enumerate(trend)
    ]


def _high(licenses: int, most: int) -> int:
    """What is there is seen, however little it is."""
    return max(licenses * HEIGHT // most, 2) if licenses else 0

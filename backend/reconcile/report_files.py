"""The report of a run for other programs: JSON and CSV. All of it, nothing is left out."""

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from license.formats import safe_cell
from reconcile.models import Drift, Finding, ReconciliationRun
from reconcile.report import Report, warnings, words

RUN_FIELDS = (
    "id", "business_date", "trigger", "status", "is_without_items", "started_at", "finished_at", "licenses_checked",
    "licenses_drifted", "licenses_expired", "licenses_repaired", "licenses_quarantined", "trigger_faults",
    "finding_counts",
)  # fmt: skip
DRIFT_FIELDS = (
    "license_id",
    "license_number",
    "import_item_id",
    "serial_number",
    "field",
    "stored",
    "expected",
    "cause",
    "evidence",
    "repaired",
)
FINDING_FIELDS = (
    "license_id",
    "license_number",
    "serial_number",
    "currency",
    "amount",
    "quantity",
    "expiry_date",
    "details",
)
CSV_FIELDS = (
    "business_date", "kind", "license_id", "license_number", "import_item_id", "serial_number", "currency", "amount",
    "quantity", "expiry_date", "field", "stored", "expected", "cause", "repaired", "words",
)  # fmt: skip


def as_json(report: Report) -> str:
    """An object: `run`, `since` (the business date of the night before), `warnings`, `expiring`, `drift`, `findings` by
    kind, `trend`. Amounts are text."""
    return (
        json.dumps(
            {
                "run": _of(report.run, RUN_FIELDS),
                "since": report.since and report.since.business_date,
                "warnings": warnings(report),
                "expiring": report.expiring,
                "drift": [_of(row, DRIFT_FIELDS) for row in report.drift],
                "findings": {
                    section.kind: [_of(finding, FINDING_FIELDS) for finding in section.findings]
                    for section in report.sections
                },
                "trend": [_of(run, RUN_FIELDS) for run in report.trend],
            },
            indent=2,
            cls=DjangoJSONEncoder,
        )
        + "\n"
    )


def as_csv(report: Report) -> str:
    """A line for each difference (kind `drift`) and each finding. A text that a spreadsheet would take for a formula
    has an apostrophe before it."""
    findings = (finding for section in report.sections for finding in section.findings)
    return "".join(csv_lines(report.run, report.drift, findings))


def csv_lines(run: ReconciliationRun, drift: Iterable[Drift], findings: Iterable[Finding]) -> Iterator[str]:
    """The same line by line, for what is too much to be held."""
    writer = csv.DictWriter(_Line(), CSV_FIELDS, restval="")
    yield writer.writeheader()
    for row in _csv_rows(run, drift, findings):
        yield writer.writerow({name: safe_cell(value) for name, value in row.items()})


class _Line:
    """What is written to it is what `writerow` returns."""

    def write(self, line: str) -> str:
        return line


def _csv_rows(run: ReconciliationRun, drift: Iterable[Drift], findings: Iterable[Finding]) -> Iterator[dict[str, Any]]:
    same = {"business_date": run.business_date}
    for row in drift:
        fields = _of(row, DRIFT_FIELDS)
        del fields["evidence"]
        yield same | {"kind": "drift"} | fields | {"words": row.told}
    for finding in findings:
        fields = _of(finding, FINDING_FIELDS)
        del fields["details"]
        yield same | {"kind": finding.kind} | fields | {"words": words(finding, run.business_date)}


def _of(row: ReconciliationRun | Drift | Finding, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in fields}

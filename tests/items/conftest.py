"""Two licenses without anything that a ledger does not carry, and files of sheets."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.core.management import call_command

from ledger.engine import drain
from license.models import ExportItem, ImportItem, ItemName, License, SionNorm
from tests.conftest import sql

FIRST, SECOND = "0318034063", "0318034064"
STATE = {
    "items": """
        SELECT license_number, serial_number, description, coalesce(code, ''), unit, restriction_percentage,
            (SELECT string_agg(name, '; ' ORDER BY name) FROM license_importitem_item_names
                JOIN license_itemname ON itemname_id = license_itemname.id WHERE importitem_id = license_importitem.id)
        FROM license_importitem JOIN license_license ON license_id = license_license.id
        LEFT JOIN license_hscode ON hs_code_id = license_hscode.id ORDER BY license_number, serial_number
    """,
    "exports": """
        SELECT license_number, license_exportitem.description, code FROM license_exportitem
        JOIN license_license ON license_id = license_license.id
        LEFT JOIN license_sionnorm ON norm_id = license_sionnorm.id ORDER BY license_exportitem.id
    """,
    "names": """
        SELECT name, code, restriction_percentage FROM license_itemname
        LEFT JOIN license_sionnorm ON sion_norm_id = license_sionnorm.id ORDER BY name
    """,
    "rules": """
        SELECT name, words, hs_prefix FROM license_matchrule
        JOIN license_itemname ON item_name_id = license_itemname.id ORDER BY license_matchrule.id
    """,
    "HS codes": "SELECT code FROM license_hscode ORDER BY code",
    "norms": "SELECT code FROM license_sionnorm ORDER BY code",
    "changes": "SELECT source, operation FROM ledger_licensechange ORDER BY id",
}


def state() -> dict[str, list[Any]]:
    """All that a sheet may change, and the changes that are pending."""
    return {table: sql(query) for table, query in STATE.items()}


@pytest.fixture
def clean(database: None) -> None:
    """A clean database, match rules too."""
    sql("DELETE FROM license_matchrule")


@pytest.fixture
def licenses(clean: None) -> list[License]:
    """FIRST with one export item and three import items, SECOND with two and two; two item names; nothing pending."""
    found = License.objects.bulk_create(
        License(license_number=number, license_date=date(2026, 1, 5), notification_number="025/2023")
        for number in (FIRST, SECOND)
    )
    for license, exports, items in zip(found, (1, 2), (3, 2), strict=True):
        ExportItem.objects.bulk_create(
            ExportItem(license=license, description=f"export {n}", cif_fc=Decimal(10_000) / exports)
            for n in range(1, exports + 1)
        )
        ImportItem.objects.bulk_create(
            ImportItem(license=license, serial_number=n, quantity=Decimal(100)) for n in range(1, items + 1)
        )
    norm = SionNorm.objects.create(code="E5")
    ItemName.objects.create(name="Palm Oil", sion_norm=norm, restriction_percentage=Decimal(10))
    ItemName.objects.create(name="Cocoa Powder")
    drain()
    return found


Write = Callable[[str], Path]


@pytest.fixture
def csv_file(tmp_path: Path) -> Write:
    """Writes text to a file."""

    def write(text: str) -> Path:
        path = tmp_path / "items.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def xlsx_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows to a workbook. A cell may be (value, number format)."""

    def write(rows: Sequence[Sequence[Any]], name: str = "items.xlsx") -> Path:
        workbook = openpyxl.Workbook()
        worksheet = workbook.active
        for row, cells in enumerate(rows, start=1):
            for column, cell in enumerate(cells, start=1):
                value, number_format = cell if isinstance(cell, tuple) else (cell, "General")
                at = worksheet.cell(row, column, value)
                if not isinstance(value, datetime):
                    at.number_format = number_format
        workbook.save(tmp_path / name)
        return tmp_path / name

    return write


def run(command: str, *arguments: Any) -> str:
    """What a command prints. Raises CommandError as the command does."""
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out)
    return out.getvalue()

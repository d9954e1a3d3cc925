"""`manage.py match_items`"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from license.matching import Match, link, propose
from license.models import License, MatchRule
from license.name_sheet import describe
from license.sheet_cells import CellError, license_number
from license.sheet_report import quoted


class Command(BaseCommand):
    """Names import items by the match rules of item names. docs/import-items.md says how."""

    help = (
        "Links every import item that has no item name to the names whose match rules fit its description and HS code. "
        "Links that are there already are never touched."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="show what would be linked, and link nothing")
        parser.add_argument("--license", metavar="NUMBER", help="this license alone; default: all")
        parser.add_argument("--unmatched", action="store_true", help="list the items that no rule fits")

    def handle(self, *, dry_run: bool, license: str | None, unmatched: bool, **_: Any) -> None:
        number = self._known(license) if license is not None else None
        if not MatchRule.objects.exists():
            raise CommandError("There are no match rules; load a name sheet with import_items first.")
        named = links = left = blank = 0
        for matches in propose(number):
            fitting = [match for match in matches if match.rules]
            others = [match for match in matches if not match.rules]
            named += len(fitting)
            left += len(others)
            blank += sum(not (match.item.description or match.item.hs_code) for match in others)
            links += sum(len(match.rules) for match in fitting) if dry_run else link(fitting)
            for match in fitting if dry_run else ():
                for rule in match.rules:
                    how = describe(rule.words, rule.hs_prefix)
                    self.stdout.write(f"{_item(match)} -> {quoted(rule.item_name)} by {how}")
            for match in others if unmatched else ():
                self.stdout.write(f"{_item(match)} fits no rule")
        done = "Dry run, nothing is linked. It would link" if dry_run else "Linked"
        self.stdout.write(f"{done}: names {links:,}, of items {named:,}.")
        if left:
            self.stdout.write(
                f"No rule fits {left:,} items without a name, {blank:,} of them without description and HS code."
            )

    def _known(self, written: str) -> str:
        try:
            number = license_number(written)
        except CellError as error:
            raise CommandError(f"{quoted(written)} {error}.") from error
        if not License.objects.filter(license_number=number).exists():
            raise CommandError(f"License {number} is not known.")
        return number


def _item(match: Match) -> str:
    item = match.item
    return f"{item.license_number} item {item.serial_number} {quoted(item.description)} HS {item.hs_code or 'none'}"

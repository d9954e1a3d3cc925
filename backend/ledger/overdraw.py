"""What a write would overdraw, told before it is committed: the positions of the licenses that it touches, by the one
definition of the rules, before and after.

Two who ask here about the same license take turns, from when they look until they commit, so neither is told what the
other is about to use up. Who writes facts without asking (a ledger of customs, plain SQL) waits for nobody.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ledger.fields import CurrentTransactionId
from ledger.models import LicenseChange, Overdraw
from ledger.sql import queries
from license.formats import indian, quantity
from license.models import License

Key = tuple[object, ...]
Positions = dict[int, dict[Key, "Position"]]
"""By license, then by what can be overdrawn of it."""


@dataclass(frozen=True, slots=True)
class Position:
    """What the rules leave of one thing that can be overdrawn: a balance, the quantity or the own value of an item, the
    pool of a restriction. Below zero it is overdrawn."""

    name: str
    unit: str
    """The currency and a space; nothing, where it is a quantity."""
    left: Decimal

    def overdraws_more_than(self, before: "Position | None") -> str:
        """In a sentence, with the numbers; empty if it does not."""
        if self.left >= 0 or (before and self.left >= before.left):
            return ""
        if before is None:
            return f"{self.name}: it would be overdrawn by {self.unit}{self._shown(-self.left)}."
        was = f"{self.unit}{self._shown(abs(before.left))}"
        return (
            f"{self.name} {f'{was} left' if before.left >= 0 else f'overdrawn by {was} already'}, this entry takes "
            f"{self._shown(before.left - self.left)} more: it would be overdrawn by {self._shown(-self.left)}."
        )

    def _shown(self, number: Decimal) -> str:
        return indian(number) if self.unit else quantity(number)


@dataclass(frozen=True, slots=True)
class Overdrawn:
    """Something of a license that a write overdraws, or overdraws further."""

    license_id: int
    sentence: str
    """What it is, with the numbers."""


class OverdrawsError(Exception):
    """A write overdraws, and nobody has confirmed these numbers. All of it must be rolled back."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = sentences

    def confirmation(self) -> str:
        """What says, given to `confirm`, that these very numbers have been seen."""
        return _digest(self.sentences)


def before(license_ids: Iterable[int]) -> Positions:
    """Of these licenses, which until this transaction ends nobody else draws on who asks here. Must come before the
    writes, in a transaction."""
    ids = list(license_ids)
    take_turns(ids)
    return positions(ids)


def after() -> Positions:
    """Of the licenses whose balances depend on what this transaction has written; from here on nobody else draws on
    them who asks here."""
    changes = LicenseChange.objects.filter(transaction_id=CurrentTransactionId()).values_list("pk", flat=True)
    ids = sorted({license_id for _, license_id in queries.rows("resolve_changes", change_ids=list(changes))})
    take_turns(ids)
    return positions(ids)  # a younger snapshot than the lock


def take_turns(license_ids: list[int]) -> None:
    """Wait until nobody else who asks here is at these licenses; nobody is from here until the transaction ends."""
    queries.rows("lock_drawing", license_ids=license_ids)


def positions(license_ids: Sequence[int]) -> Positions:
    """Of these licenses, as this transaction sees them; nothing of one that does not exist."""
    found: Positions = {license_id: {} for license_id in license_ids}
    licenses = License.objects.in_bulk(license_ids)
    rows = defaultdict(list)
    for row in queries.dicts("explain_license", license_ids=list(license_ids), today=None):
        rows[row["license_id"]].append(row)
    for license_id, of_license in rows.items():
        found[license_id] = dict(_positions(licenses[license_id], of_license))
    return found


def _positions(license: License, rows: list[dict[str, Any]]) -> Iterator[tuple[Key, Position]]:
    name, unit = f"License {license.license_number}", f"{license.currency} "
    yield (), Position(f"{name}: balance", unit, rows[0]["balance_cif"] - rows[0]["overdrawn_cif"])
    pools = defaultdict(list)
    for row in rows:
        item, serial_number = row["import_item_id"], row["serial_number"]
        if item is None:
            continue
        left = row["available_quantity"] - row["overdrawn_quantity"]
        yield (item, "quantity"), Position(f"{name}, item {serial_number}: quantity", "", left)
        if row["value_rule"] == "own value":
            yield (item, "value"), Position(f"{name}, item {serial_number}: value", unit, row["own_value"])
        elif row["value_rule"] == "restricted":
            pools[row["pool_norm"], row["pool_percentage"]].append(row)
        # by the other rules the value is the balance
    for (norm, percentage), sharing in pools.items():
        by = f"norm {norm}" if norm else "condition sheet"
        serial_numbers = ", ".join(str(row["serial_number"]) for row in sharing)
        items = f"item{'s' if len(sharing) > 1 else ''} {serial_numbers}"
        pool = f"{name}, {items}: pool ({percentage.normalize():f} % by {by})"
        yield (norm, percentage), Position(pool, unit, sharing[0]["own_value"])


def newly_overdrawn(before: Mapping[int, Mapping[Key, Position]], after: Positions) -> list[Overdrawn]:
    """Each thing that is overdrawn after, and was not before, or by less. Before, a license that is not there had
    nothing."""
    return [
        Overdrawn(license_id, sentence)
        for license_id, of_license in after.items()
        for key, position in of_license.items()
        if (sentence := position.overdraws_more_than(before.get(license_id, {}).get(key)))
    ]


def confirm(overdrawn: Sequence[Overdrawn], *, entry: str, by: str, confirmation: str) -> None:
    """Write down that somebody has let `entry` overdraw. Raises OverdrawsError unless the confirmation is that of these
    very numbers, and not of others that have come about since. Nothing overdrawn needs none."""
    sentences = [each.sentence for each in overdrawn]
    if sentences and confirmation != _digest(sentences):
        raise OverdrawsError(sentences)
    Overdraw.objects.bulk_create(
        Overdraw(license_id=each.license_id, entry=entry, sentence=each.sentence, confirmed_by=by) for each in overdrawn
    )


def _digest(sentences: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sentences).encode()).hexdigest()

"""Which item names fit an import item: by the words of its description and the beginning of its HS code.

A rule that says both asks for both; the rules of a name are alternatives. Matching only proposes; `link` adds names to
items that have none, and never touches what people linked.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db import transaction

from license.sql import queries

ITEMS_AT_ONCE = 5_000

_WORD = re.compile(r"[^\W_]+")
_NO_DIGIT = re.compile(r"[^0-9]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """A match rule, as `license.models.MatchRule` keeps it."""

    id: int
    item_name_id: int
    item_name: str
    words: str
    hs_prefix: str


@dataclass(frozen=True, slots=True)
class Item:
    """An import item without item names."""

    id: int
    license_number: str
    serial_number: int
    description: str
    hs_code: str


@dataclass(frozen=True, slots=True)
class Match:
    """An item and the names that fit it, each by the oldest rule that proposes it; none, where no rule does."""

    item: Item
    rules: tuple[Rule, ...]


class Matcher:
    """Finds the rules that an item fulfils. Each rule is looked up by one thing that it asks for, so that many rules
    cost little."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_word: dict[str, list[Rule]] = defaultdict(list)
        self._by_beginning: dict[str, list[Rule]] = defaultdict(list)
        self._by_hs_prefix: dict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            words = rule.words.split()
            longest = max(words, key=lambda word: (not word.endswith("*"), len(word)), default="")
            if not longest:
                self._by_hs_prefix[rule.hs_prefix].append(rule)
            elif longest.endswith("*"):
                self._by_beginning[longest[:-1]].append(rule)
            else:
                self._by_word[longest].append(rule)
        self._beginning_lengths = sorted({len(beginning) for beginning in self._by_beginning})

    def match(self, description: str, hs_code: str) -> tuple[Rule, ...]:
        """For each name that fits, the oldest rule by which it does."""
        words = words_of(description)
        digits = digits_of(hs_code)
        oldest: dict[int, Rule] = {}
        for rule in self._candidates(words, digits):
            if rule.item_name_id in oldest and oldest[rule.item_name_id].id <= rule.id:
                continue
            if fits(rule, words, digits):
                oldest[rule.item_name_id] = rule
        return tuple(sorted(oldest.values(), key=lambda rule: rule.id))

    def _candidates(self, words: set[str], digits: str) -> Iterator[Rule]:
        for word in words:
            yield from self._by_word.get(word, ())
        for beginning in {word[:length] for length in self._beginning_lengths for word in words}:
            yield from self._by_beginning.get(beginning, ())
        for length in range(1, len(digits) + 1):
            yield from self._by_hs_prefix.get(digits[:length], ())


def words_of(description: str) -> set[str]:
    """The words of a description: runs of letters and digits, without case."""
    return set(_WORD.findall(description.casefold()))


def digits_of(hs_code: str) -> str:
    """An HS code without the dots and spaces that somebody typed."""
    return _NO_DIGIT.sub("", hs_code)


def fits(rule: Rule, words: set[str], digits: str) -> bool:
    """Whether all that the rule asks for holds for these words and this HS code."""
    if rule.hs_prefix and not digits.startswith(rule.hs_prefix):
        return False
    return all(
        any(word.startswith(asked[:-1]) for word in words) if asked.endswith("*") else asked in words
        for asked in rule.words.split()
    )


def propose(license_number: str | None = None) -> Iterator[list[Match]]:
    """What rules propose for the import items without item names, of one license or of all, some thousand at a time."""
    matcher = Matcher(Rule(*rule) for rule in queries.rows("match_rules"))
    after = 0
    while True:
        found = queries.rows("unnamed_items", after=after, license_number=license_number, at_most=ITEMS_AT_ONCE)
        if not found:
            return
        items = [Item(*item) for item in found]
        yield [Match(item, matcher.match(item.description, item.hs_code)) for item in items]
        after = items[-1].id


def link(matches: Sequence[Match]) -> int:
    """Link the items to the names that fit, unless somebody has named them meanwhile. How many links were added."""
    pairs = [(match.item.id, rule.item_name_id) for match in matches for rule in match.rules]
    if not pairs:
        return 0
    with transaction.atomic():
        return queries.execute(
            "link_matches",
            import_item_ids=[item_id for item_id, _ in pairs],
            item_name_ids=[name_id for _, name_id in pairs],
        )

"""The feed of balances: history in an order that whoever follows it can rely on.

Ids are drawn before commits, so that a reader who asks for `id > last` loses who commits late. Positions are given
afterwards, to history that everybody can see, by one publisher at a time: a higher one never becomes visible before a
lower one, and changes of one license are in the order in which they were made
(docs/decisions/0019-feed-and-webhooks.md).
"""

from typing import Any

from django.db import transaction

from ledger.sql import queries

AT_ONCE = 5_000
"""Rows of a transaction: it takes tens of milliseconds."""
BIGINT_MAX = 2**63 - 1


def publish() -> int:
    """Give positions to what has none, no more than AT_ONCE: how many. 0 too where another is at it; nobody waits for
    another, but for who deletes old history. Must not be called inside a transaction."""
    if queries.column("feed_waits") != [True]:
        return 0
    with transaction.atomic(durable=True):
        queries.execute("begin_recompute")
        [given] = queries.column("feed_publish", at_most=AT_ONCE)
        return int(given)


def newest() -> int:
    """The last position that there is; 0: none. What is not seen yet gets a higher one."""
    [seen] = queries.column("feed_newest")
    return int(seen)


def is_known(position: int) -> bool:
    """Whether whoever has read up to there can go on: 0, or of a change that is here. If not, what he has read is of
    other data than these, such as those of which these are an older copy, or is kept no more."""
    return position == 0 or queries.column("feed_knows", position=position) == [True]


def changes(after: int, at_most: int, *, until: int = BIGINT_MAX) -> list[dict[str, Any]]:
    """The next changes, in their order: the columns of `BalanceHistory`, and `license_number`: None where the license
    is gone."""
    return queries.dicts("feed_changes", after=after, until=until, at_most=at_most)

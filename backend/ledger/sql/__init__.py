"""The queries of this app."""

from pathlib import Path

from license.queries import Queries

queries = Queries(
    Path(__file__).parent,
    # What a drain asks for each batch: else it would spend most of its time on planning. Not claim_same_licenses, whose
    # plan must know whether it is asked for one license or for hundreds (`make bench PARTS=burst`).
    prepared=(
        "transactions_of_keys",
        "fan_out_changes",
        "resolve_changes",
        "lock_licenses",
        "write_balances",
        "delete_changes",
        "newest_changes",
        "oldest_change",
    ),
)
load = queries.load

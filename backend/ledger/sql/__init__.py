"""The queries of this app."""

from pathlib import Path

from license.queries import Queries

queries = Queries(
    Path(__file__).parent,
    # what a drain asks for each batch: else it would spend most of its time on planning
    prepared=(
        "transactions_of_keys",
        "fan_out_changes",
        "resolve_changes",
        "lock_licenses",
        "claim_same_licenses",
        "write_balances",
        "delete_changes",
        "newest_changes",
    ),
)
load = queries.load

"""expected.sql against the oracle, in worlds that nobody thought of."""

from datetime import date

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings

from ledger.sql import load
from tests import oracle, worlds

LICENSE_COLUMNS = tuple(oracle.LicenseRow.__dataclass_fields__)
ITEM_COLUMNS = tuple(oracle.ItemRow.__dataclass_fields__)


def ruled(license_ids: list[int], today: date) -> oracle.Balances:
    """What the production rules say, in the oracle's shape."""
    query = (
        f"SELECT license_id, import_item_id, {', '.join(LICENSE_COLUMNS + ITEM_COLUMNS)} FROM ({load('expected')}) AS e"
    )
    license_rows, item_rows = {}, {}
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(query, {"license_ids": license_ids, "today": today})
        for license_id, item_id, *values in cursor.fetchall():
            row = oracle.LicenseRow(*values[: len(LICENSE_COLUMNS)])
            assert license_rows.setdefault(license_id, row) == row
            if item_id is not None:
                assert (license_id, item_id) not in item_rows
                item_rows[license_id, item_id] = oracle.ItemRow(*values[len(LICENSE_COLUMNS) :])
    return license_rows, item_rows


@pytest.mark.usefixtures("database")
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(worlds.worlds())
def test_the_rules_agree_with_the_oracle(world: worlds.World) -> None:
    with transaction.atomic():
        licenses = worlds.write(world)
        license_rows, item_rows = oracle.expected(worlds.TODAY)
        assert ruled([license.pk for license in licenses], worlds.TODAY) == (license_rows, item_rows)
        # and for one license of several: nothing of its neighbours gets in
        one_id = licenses[0].pk
        assert ruled([one_id], worlds.TODAY) == (
            {one_id: license_rows[one_id]},
            {key: row for key, row in item_rows.items() if key[0] == one_id},
        )
        transaction.set_rollback(True)

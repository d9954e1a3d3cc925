"""What balances depend on is in every entry of the trail since it began, or it says what older ones mean."""

from ledger.capture import CAPTURED

IN_EVERY_ENTRY = {
    "license_license": "notification_number purchase_status license_expiry_date",
    "license_exportitem": "norm_id cif_fc",
    "license_importitem": "serial_number quantity cif_fc cif_inr restriction_percentage",
    "license_importitem_item_names": "itemname_id",
    "license_itemname": "sion_norm_id restriction_percentage",
    "ledger_billofentryline": "transaction_type quantity cif_fc",
    "ledger_allotmentline": "allotment_id quantity cif_fc",
    "ledger_allotment_bills_of_entry": "",
    "ledger_allotmentrelease": "",
}
"""As of the migration that began the trail, ledger 0011."""


def test_no_balance_depends_on_a_column_that_older_entries_lack() -> None:
    depends_on = {fact.model._meta.db_table: fact.depends_on for fact in CAPTURED}
    assert depends_on == IN_EVERY_ENTRY, (
        "Older entries of the trail lack the column that is new or was renamed here, and balances as of a date would "
        "take it for NULL: say in ledger/sql/rewind.sql what they mean (docs/decisions/0018-trail.md), test it, and "
        "only then change this table."
    )

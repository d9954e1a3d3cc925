"""How the three busy tables are kept.

The outbox is a queue: what is deleted must be vacuumed away soon, or every claim walks over it. Balances are updated
in place: room on the page keeps an update from touching the index (HOT).
"""

from django.db import migrations

OUTBOX = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0",
    "autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay",
)
BALANCES = ("fillfactor = 80", "fillfactor")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [
        migrations.RunSQL(f"ALTER TABLE {table} SET ({wanted})", f"ALTER TABLE {table} RESET ({settings})")
        for table, (wanted, settings) in {
            "ledger_licensechange": OUTBOX,
            "ledger_licensebalance": BALANCES,
            "ledger_importitembalance": BALANCES,
        }.items()
    ]

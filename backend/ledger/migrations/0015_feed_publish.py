from django.db import migrations

from ledger.sql import load


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0014_tally'),
    ]

    operations = [
        migrations.RunSQL(load('install_feed_publish'), 'DROP FUNCTION public.ledger_feed_publish(bigint)'),
    ]

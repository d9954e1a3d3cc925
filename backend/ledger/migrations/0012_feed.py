from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0011_trail'),
    ]

    operations = [
        # two steps: rows that there are get 0 without being written, rows to come get none
        migrations.AddField(
            model_name='balancehistory',
            name='position',
            field=models.BigIntegerField(db_default=0, help_text='In the feed (ledger/feed.py). Null: none yet; 0: older than the feed.', null=True),
        ),
        migrations.AlterField(
            model_name='balancehistory',
            name='position',
            field=models.BigIntegerField(help_text='In the feed (ledger/feed.py). Null: none yet; 0: older than the feed.', null=True),
        ),
        migrations.RunSQL(
            "CREATE SEQUENCE ledger_balancehistory_position_seq OWNED BY ledger_balancehistory.position",
            "DROP SEQUENCE ledger_balancehistory_position_seq",
        ),
        migrations.AddIndex(
            model_name='balancehistory',
            index=models.Index(condition=models.Q(('position', None)), fields=['id'], name='ledger_history_unpublished'),
        ),
        migrations.AddConstraint(
            model_name='balancehistory',
            constraint=models.UniqueConstraint(condition=models.Q(('position__gt', 0)), fields=('position',), name='ledger_history_position'),
        ),
    ]

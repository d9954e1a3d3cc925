import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0013_balance_trail'),
    ]

    operations = [
        migrations.CreateModel(
            name='Failure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('license_id', models.BigIntegerField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.BigIntegerField(help_text='Of the feed: history up to this is in it.')),
                ('for_changes', models.BigIntegerField(help_text='Recomputes that changed a balance, because of a change.')),
                ('for_retries', models.BigIntegerField(help_text='The same, of what had been in quarantine.')),
                ('for_night', models.BigIntegerField(help_text='The same, with nothing pending: by a night, or by hand.')),
                ('failures', models.BigIntegerField(help_text='Recomputes of one license that failed by themselves.')),
                ('latency_counts', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text='Of those for changes, how many by ledger.tally.BOUNDS, and more.', size=None)),
                ('latency_seconds', models.DecimalField(decimal_places=6, help_text='Of all of them together.', max_digits=30)),
                ('counted_at', models.DateTimeField(help_text='By the clock.')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        # what was there before is not counted: it may be millions of rows
        migrations.RunSQL(
            """INSERT INTO ledger_tally
            SELECT 1, coalesce(max(position), 0), 0, 0, 0, 0, array_fill(0, ARRAY[14]), 0, clock_timestamp()
            FROM ledger_balancehistory WHERE position > 0""",
            migrations.RunSQL.noop,
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('reconcile', '0006_evidence'),
    ]

    operations = [
        migrations.AddField(
            model_name='reconciliationrun',
            name='drift_counts',
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, help_text='How many drifted fields of each cause.'),
        ),
    ]

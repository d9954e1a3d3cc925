"""When people have last asked for a run."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("desk", "0005_overdraws")]
    operations = [
        migrations.CreateModel(
            name="RunRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asked_at", models.DateTimeField()),
                ("newest_run", models.BigIntegerField(help_text="Id of the newest run then; 0: none.")),
            ],
            options={"default_permissions": ()},
        ),
    ]

"""Who sees evidence sees the trail of changes."""

from django.apps import apps as current
from django.contrib.auth.management import create_permissions
from django.db import migrations

WHO = ["operator", "auditor", "administrator"]


def grant(apps, schema_editor):
    # else they are only made when all migrations are through
    create_permissions(current.get_app_config("ledger"), verbosity=0, using=schema_editor.connection.alias)
    Permission = apps.get_model("auth", "Permission")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=WHO):
        group.permissions.add(Permission.objects.get(content_type__app_label="ledger", codename="view_trailstatement"))


class Migration(migrations.Migration):
    dependencies = [("desk", "0008_settlements"), ("ledger", "0011_trail")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]

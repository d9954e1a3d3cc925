"""Who sees evidence sees what was settled of customs' ledgers and ours; who enters facts may settle it."""

from django.apps import apps as current
from django.contrib.auth.management import create_permissions
from django.db import migrations

MAY = {
    "operator": ["view_settlement", "add_settlement"],
    "auditor": ["view_settlement"],
    "administrator": ["view_settlement", "add_settlement"],
}


def grant(apps, schema_editor):
    # else they are only made when all migrations are through
    create_permissions(current.get_app_config("ledger"), verbosity=0, using=schema_editor.connection.alias)
    Permission = apps.get_model("auth", "Permission")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=MAY):
        group.permissions.add(
            *Permission.objects.filter(content_type__app_label="ledger", codename__in=MAY[group.name])
        )


class Migration(migrations.Migration):
    dependencies = [("desk", "0007_uploads"), ("ledger", "0010_customs")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]

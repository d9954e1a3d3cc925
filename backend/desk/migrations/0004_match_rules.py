"""Who may see, enter and delete item names may do the same with their match rules."""

from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.apps import apps as current

ACTIONS = {"viewer": "view", "auditor": "view", "operator": "view add change", "administrator": "view add change delete"}


def grant(apps, schema_editor):
    create_permissions(current.get_app_config("license"), verbosity=0, using=schema_editor.connection.alias)
    Permission = apps.get_model("auth", "Permission")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ACTIONS):
        wanted = [f"{action}_matchrule" for action in ACTIONS[group.name].split()]
        group.permissions.add(*Permission.objects.filter(content_type__app_label="license", codename__in=wanted))


class Migration(migrations.Migration):
    dependencies = [("desk", "0003_run_now")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]

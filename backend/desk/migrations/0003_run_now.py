"""Operators and administrators may ask for a reconciliation."""

from django.apps import apps as current
from django.contrib.auth.management import create_permissions
from django.db import migrations


def allow(apps, schema_editor):
    # else it is only made when all migrations are through
    create_permissions(current.get_app_config("reconcile"), verbosity=0, using=schema_editor.connection.alias)
    permission = apps.get_model("auth", "Permission").objects.get(
        content_type__app_label="reconcile", codename="add_reconciliationrun"
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=("operator", "administrator")):
        group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [("desk", "0001_roles"), ("reconcile", "0003_run_now")]
    operations = [migrations.RunPython(allow, migrations.RunPython.noop)]

"""Administrators look after the tokens and webhooks of programs."""

from django.apps import apps as current
from django.contrib.auth.management import create_permissions
from django.db import migrations

WHAT = ["view_token", "delete_token", "view_webhook", "change_webhook", "delete_webhook"]


def grant(apps, schema_editor):
    # else they are only made when all migrations are through
    create_permissions(current.get_app_config("api"), verbosity=0, using=schema_editor.connection.alias)
    found = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="api", codename__in=WHAT)
    for group in apps.get_model("auth", "Group").objects.filter(name="administrator"):
        group.permissions.add(*found)


class Migration(migrations.Migration):
    dependencies = [("desk", "0009_trail"), ("api", "0003_looked_after")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]

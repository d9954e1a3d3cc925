"""The four groups of docs/pages.md, with their permissions."""

from django.apps import apps as current
from django.contrib.auth.management import create_permissions
from django.db import migrations


def make(apps, schema_editor):
    from desk.roles import ROLES, permissions

    for label in ("auth", "license", "ledger", "reconcile"):  # else they are only made when all migrations are through
        create_permissions(current.get_app_config(label), verbosity=0, using=schema_editor.connection.alias)
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    for role in ROLES:
        group, _ = Group.objects.get_or_create(name=role)
        wanted = permissions(role)
        group.permissions.set(
            permission
            for permission in Permission.objects.select_related("content_type")
            if (permission.content_type.app_label, permission.codename) in wanted
        )


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("license", "0002_readable_dates"),
        ("ledger", "0005_readable_dates"),
        ("reconcile", "0002_report"),
    ]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]

"""Who sees evidence sees who confirmed an overdraw; administrators may allot more than a license has left; who may enter
allotments may give them up."""

from django.apps import apps as current
from django.contrib.auth.management import create_permissions
from django.db import migrations

MAY = {
    "viewer": ["view_allotmentrelease"],
    "operator": ["view_overdraw", "view_allotmentrelease", "add_allotmentrelease", "change_allotmentrelease"],
    "auditor": ["view_overdraw", "view_allotmentrelease"],
    "administrator": [
        "view_overdraw", "overdraw_allotment", "view_allotmentrelease", "add_allotmentrelease",
        "change_allotmentrelease", "delete_allotmentrelease",
    ],
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
    dependencies = [("desk", "0004_match_rules"), ("ledger", "0007_release")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]

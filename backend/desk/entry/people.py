"""People and the groups they are in, for administrators.

Superusers are looked after by superusers alone. People are not deleted, but made inactive: what they entered stays
theirs in the history.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from desk.entry.base import Exactly
from desk.entry.meanwhile import Guarded
from desk.entry.site import site

if TYPE_CHECKING:  # Django's own class takes no parameter
    OfUsers = UserAdmin[User]
else:
    OfUsers = UserAdmin


@admin.register(User, site=site)
class PersonAdmin(Guarded, Exactly, OfUsers):
    fieldsets = (
        (None, {"fields": ("username", "password", "is_active", "groups")}),
        ("Who that is", {"fields": ("first_name", "last_name", "email", "last_login")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "password1", "password2", "groups")}),)
    readonly_fields = ("last_login",)
    list_display = ("username", "first_name", "last_name", "is_active", "last_login")
    list_filter = ("is_active", "groups")
    filter_horizontal = ("groups",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not is_above and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Group, site=site)
class PeopleAdmin(Guarded, Exactly, GroupAdmin):
    pass

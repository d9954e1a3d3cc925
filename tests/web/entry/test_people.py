"""People, and what they may make of themselves."""

from django.contrib.auth.models import Group, User
from django.test import Client

from tests.web.conftest import LogIn
from tests.web.entry.conftest import change, errors, form, post, saved

PASSWORD = "a long one for 2026"  # noqa: S105


def test_an_administrator_lets_somebody_in(administrator: Client) -> None:
    viewers = Group.objects.get(name="viewer").pk
    typed = {"username": "arjun", "password1": PASSWORD, "password2": PASSWORD, "groups": [viewers]}
    saved(post(administrator, "/entry/auth/user/add/", **typed))
    client = Client()
    assert client.post("/login/", {"username": "arjun", "password": PASSWORD}).url == "/"
    assert client.get("/licenses/").status_code == 200
    assert (
        "too common"
        in errors(
            post(
                administrator,
                "/entry/auth/user/add/",
                **{**typed, "username": "b", "password1": "password", "password2": "password"},
            )
        )[0]
    )
    arjun = User.objects.get(username="arjun")
    posted = form(administrator, change(arjun))
    posted.pop("is_active")
    saved(administrator.post(change(arjun), {**posted, "_save": "Save"}))
    assert client.get("/licenses/").status_code == 302
    assert not User.objects.filter(is_staff=True).exists()


def test_nobody_makes_himself_a_superuser(administrator: Client) -> None:
    me, root = User.objects.get(), User.objects.create_superuser("root", password=PASSWORD)
    saved(post(administrator, change(me), is_superuser="on", is_staff="on", user_permissions=[1]))
    me.refresh_from_db()
    assert (me.is_superuser, me.is_staff, me.user_permissions.count()) == (False, False, 0)
    typed = {"password1": "another long one", "password2": "another long one", "usable_password": "true"}
    for page in (change(root), f"/entry/auth/user/{root.pk}/password/"):
        assert administrator.post(page, typed).status_code == 403
    root.refresh_from_db()
    assert root.check_password(PASSWORD)


def test_everybody_may_change_his_own_password(log_in: LogIn) -> None:
    client = log_in("viewer")
    me = User.objects.get()
    me.set_password(PASSWORD)
    me.save()
    client.force_login(me, backend="django.contrib.auth.backends.ModelBackend")
    typed = {"old_password": PASSWORD, "new_password1": "another long one", "new_password2": "another long one"}
    assert client.post("/entry/password_change/", typed).status_code == 302
    me.refresh_from_db()
    assert me.check_password("another long one")
    assert client.get("/").status_code == 200

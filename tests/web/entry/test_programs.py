"""Tokens and webhooks, which administrators look after: how they stand, and an end to them."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from api import webhooks
from api.models import Token, Webhook
from tests.conftest import sql
from tests.web.conftest import read
from tests.web.entry.conftest import change, delete, errors, form, post, saved

LIST = "/entry/api/webhook/"
STANDING = "//td[@class='field-standing']"


@pytest.fixture
def erp(administrator: Client) -> User:
    user = User.objects.create(username="erp")
    user.groups.add(Group.objects.get(name="auditor"))
    return user


@pytest.fixture
def webhook(erp: User) -> Webhook:
    return webhooks.add(erp, "https://erp.example/balances", name="SAP")


def test_a_token_is_shown_without_what_opens_and_taken_away(erp: User, administrator: Client) -> None:
    (sap, secret), (other, _) = Token.make(erp, name="SAP"), Token.make(erp, name="Tally")
    for page in ("/entry/api/token/", change(sap), delete(sap)):
        shown = administrator.get(page).content.decode()
        assert "SAP" in shown, page
        assert secret not in shown, page
        assert sap.digest not in shown, page
    assert administrator.post(change(sap), {"name": "mine", "_save": "Save"}).status_code == 403
    saved(administrator.post(delete(sap), {"post": "yes"}))
    assert Token.of(secret) is None
    assert Token.objects.get() == other


def test_a_webhook_says_how_it_stands(webhook: Webhook, administrator: Client) -> None:
    assert read(administrator.get(LIST)).texts(STANDING) == ["active"]
    sql("UPDATE api_webhook SET attempts = 2, failing_since = now(), answer = '500 <b>out</b>'")
    [said] = read(administrator.get(LIST)).texts(STANDING)
    assert (said.startswith("has failed 2 times since"), said.endswith("500 <b>out</b>")) == (True, True)
    assert webhook.secret not in administrator.get(change(webhook)).content.decode()
    User.objects.filter(username="erp").update(is_active=False)
    assert read(administrator.get(LIST)).texts(STANDING) == ["held, since erp may not log in or not follow balances"]


def test_a_webhook_is_paused_resumed_and_removed(webhook: Webhook, administrator: Client) -> None:
    sql("UPDATE api_webhook SET attempts = 2, failing_since = now(), next_try_at = now() + interval '1 hour'")
    saved(post(administrator, change(webhook), state="paused"))
    assert read(administrator.get(LIST)).texts(STANDING) == ["paused"]
    sql("UPDATE api_webhook SET position = 7")  # as the sender may that was at it
    saved(post(administrator, change(webhook), state="active"))
    webhook.refresh_from_db()
    assert (webhook.state, webhook.attempts, webhook.position) == ("active", 0, 7)
    assert read(administrator.get(LIST)).texts(STANDING) == ["active"]
    saved(administrator.post(delete(webhook), {"post": "yes"}))
    assert not Webhook.objects.exists()


def test_what_stopped_meanwhile_is_told(webhook: Webhook, administrator: Client) -> None:
    posted = form(administrator, change(webhook))
    sql("UPDATE api_webhook SET state = 'stopped', failing_since = now()")
    refused = administrator.post(change(webhook), {**posted, "state": "paused", "_save": "Save"})
    assert "has changed since you opened it" in read(refused).text("//*[@class='refused']")
    for state in ("nonsense", ""):
        assert errors(post(administrator, change(webhook), state=state))
    saved(post(administrator, change(webhook)))  # as it stands
    webhook.refresh_from_db()
    assert webhook.state == "stopped"

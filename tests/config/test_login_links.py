"""A login link works once, and for one person."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from config.login_links import login_link


def test_it_starts_at_the_public_address(cast, settings):
    assert login_link(user=cast.rater).startswith(f"{settings.PUBLIC_URL}/login/link/?")


def test_it_logs_that_person_in(client, cast):
    response = client.get(login_link(user=cast.rater) + "&next=/admin/")
    assert response.status_code == 302
    assert client.session["_auth_user_id"] == str(cast.rater.pk)


def test_the_second_use_leads_to_the_login_page(client, cast):
    link = login_link(user=cast.rater)
    client.get(link + "&next=/admin/")
    client.logout()
    response = client.get(link)
    assert response.headers["Location"] == "/login/"
    assert "_auth_user_id" not in client.session


def test_an_old_one_is_refused(client, cast, settings):
    link = login_link(user=cast.rater)
    settings.SESAME_MAX_AGE = -1
    assert client.get(link).headers["Location"] == "/login/"


def test_it_does_not_lead_to_another_site(client, cast):
    response = client.get(login_link(user=cast.rater) + "&next=https://example.org/")
    assert "example.org" not in response.headers["Location"]


def test_the_command_prints_one(capsys, cast):
    call_command("login_link", "rater")
    assert "/login/link/?sesame=" in capsys.readouterr().out


def test_the_command_says_who_is_unknown(db):
    with pytest.raises(CommandError, match="nobody called 'zoe'"):
        call_command("login_link", "zoe")


def test_the_command_refuses_somebody_switched_off(cast):
    cast.rater.is_active = False
    cast.rater.save()
    with pytest.raises(CommandError, match="switched off"):
        call_command("login_link", "rater")

"""The URL for monitoring."""

import pytest


@pytest.mark.django_db
def test_it_says_ok_to_anybody(client):
    response = client.get("/health/")
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_it_answers_plain_http_behind_a_proxy(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/health/").status_code == 200

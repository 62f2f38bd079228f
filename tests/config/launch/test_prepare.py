"""What `up` does before it starts anything."""

from __future__ import annotations

import socket

import pytest

from annotate.models import User
from config.launch.prepare import (
    NoAdministratorError,
    PortTakenError,
    check_port,
    ensure_administrator,
    seed,
)


def test_a_free_port_is_fine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check_port("127.0.0.1", port)


def test_a_taken_port_is_named_with_a_way_out():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"Port {port} .* PORT={port + 1} make up"):
            check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(PortTakenError, match="cannot listen"):
        check_port("192.0.2.1", 8000)


def test_the_first_administrator_has_no_password(db):
    user, is_new = ensure_administrator()
    assert is_new
    assert user.is_superuser
    assert not user.has_usable_password()


def test_an_administrator_who_is_there_is_kept(db):
    administrator = User.objects.create_superuser("ada")
    assert ensure_administrator() == (administrator, False)


def test_an_administrator_who_was_switched_off_stays_so(db):
    User.objects.create_superuser("ada", is_active=False)
    user, is_new = ensure_administrator()
    assert is_new
    assert user.username == "admin"


def test_a_name_that_is_taken_is_told(db):
    User.objects.create_user("admin")
    with pytest.raises(NoAdministratorError, match="ADMIN_NAME"):
        ensure_administrator()


def test_nothing_is_seeded_where_a_project_is(cast):
    assert not seed()


def test_nothing_is_seeded_where_that_was_switched_off(db, settings):
    settings.SEED_DEMO = False
    assert not seed()

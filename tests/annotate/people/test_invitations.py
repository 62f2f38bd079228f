"""Invitations: who can join with a link, who cannot, and what is stored."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from annotate.models import Arrival, Departure, Invitation, Membership, User
from annotate.people import invitations, members

pytestmark = pytest.mark.django_db
Role = Membership.Role
SIGN_UP = {"username": "newcomer", "password1": "a-long-passw0rd", "password2": "a-long-passw0rd"}


@pytest.fixture
def invite(cast):
    """``invite(role, …)`` makes an invitation and returns it with the path of its link."""

    def invite(role="rater", lasts=timedelta(days=7), **fields):
        invitation, token = invitations.invite(
            project=cast.project, role=role, by=cast.manager, lasts=lasts, **fields
        )
        return invitation, reverse("join", args=[token])

    return invite


def role_of(user):
    return Membership.objects.get(user=user).role


def test_only_a_hash_of_the_token_is_stored(invite):
    invitation, path = invite()
    token = path.rstrip("/").rsplit("/", 1)[-1]
    stored = str(Invitation.objects.filter(pk=invitation.pk).values().get())
    assert token not in stored
    assert invitations.find(token) == invitation
    assert invitations.find(invitation.token_hash) is None


def test_a_newcomer_signs_up_and_is_in(client, cast, invite):
    invitation, path = invite("reviewer")
    assert "Sharpen" in client.get(path).content.decode()
    response = client.post(path, SIGN_UP)
    assert response["Location"] == reverse("rate", args=["sharpen"])
    newcomer = User.objects.get(username="newcomer")
    assert role_of(newcomer) == Role.REVIEWER
    assert client.get(response["Location"]).status_code == 200
    arrival = Arrival.objects.get()
    assert (arrival.user, arrival.invitation) == (newcomer, invitation)


def test_a_weak_password_is_refused_by_djangos_rules(client, cast, invite):
    invitation, path = invite()
    page = client.post(path, SIGN_UP | {"password1": "12345678", "password2": "12345678"})
    assert "too common" in page.content.decode()
    assert not User.objects.filter(username="newcomer").exists()
    invitation.refresh_from_db()
    assert invitation.uses == 0


def test_reading_the_page_joins_nobody(cast, invite, client_of):
    invitation, path = invite()
    client_of(cast.stranger).get(path)
    invitation.refresh_from_db()
    assert invitation.uses == 0
    assert not Membership.objects.filter(user=cast.stranger).exists()


def test_somebody_with_an_account_joins_with_it(cast, invite, client_of):
    _, path = invite()
    client_of(cast.stranger).post(path)
    assert role_of(cast.stranger) == Role.RATER


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "has expired"),
        ({"revoked_at": timezone.now()}, "was revoked"),
        ({"max_uses": 1, "uses": 1}, "as often as it may be"),
    ],
)
def test_a_link_that_is_over_says_so_kindly(client, cast, invite, spoil, reason):
    invitation, path = invite()
    Invitation.objects.filter(pk=invitation.pk).update(**spoil)
    for response in (client.get(path), client.post(path, SIGN_UP)):
        assert response.status_code == 410
        assert reason in response.content.decode()
    assert not User.objects.filter(username="newcomer").exists()


def test_an_unknown_link_leads_nowhere(client, cast):
    response = client.get(reverse("join", args=["nothing"]))
    assert response.status_code == 404
    assert "is not valid" in response.content.decode()


def test_the_last_use_is_given_once(cast, invite):
    invitation, _ = invite(max_uses=1)
    invitations.accept(invitation=invitation, user=cast.stranger)
    with pytest.raises(invitations.CannotJoin) as refused:
        invitations.accept(invitation=invitation, user=User.objects.create_user("late"))
    assert refused.value.reason == "used_up"


def test_the_database_refuses_more_uses_than_allowed(invite):
    invitation, _ = invite(max_uses=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Invitation.objects.filter(pk=invitation.pk).update(uses=2)


@pytest.mark.parametrize("role", ["rater", "reviewer", "manager"])
def test_no_link_lowers_a_role(cast, invite, client_of, role):
    invitation, path = invite(role)
    client_of(cast.manager).post(path)
    assert role_of(cast.manager) == Role.MANAGER
    invitation.refresh_from_db()
    assert invitation.uses == 0


def test_a_member_goes_in_by_a_link_that_is_over(cast, invite, client_of):
    invitation, path = invite()
    invitations.revoke(invitation=invitation)
    response = client_of(cast.rater).get(path)
    assert response["Location"] == reverse("rate", args=["sharpen"])


def test_a_higher_role_is_offered_and_taken_on_request_alone(cast, invite, client_of):
    _, path = invite("manager")
    client = client_of(cast.rater)
    assert "would make you a manager" in client.get(path).content.decode()
    assert role_of(cast.rater) == Role.RATER
    client.post(path)
    assert role_of(cast.rater) == Role.MANAGER


def test_who_was_taken_out_does_not_return_by_an_older_link(cast, invite, client_of):
    _, path = invite()
    member = Membership.objects.get(user=cast.rater)
    members.leave(membership=member, by=cast.manager)
    response = client_of(cast.rater).post(path)
    assert response.status_code == 410
    assert "removed you" in response.content.decode()
    _, newer = invite()
    client_of(cast.rater).post(newer)
    assert role_of(cast.rater) == Role.RATER


def test_who_left_by_themselves_may_return(cast, invite, client_of):
    _, path = invite()
    members.leave(membership=Membership.objects.get(user=cast.rater))
    client_of(cast.rater).post(path)
    assert role_of(cast.rater) == Role.RATER
    assert Departure.objects.get().by is None


# --- the managers' page ---


def make_link(client, **fields):
    values = {"role": "rater", "lasts": "7", "max_uses": "", "note": "", **fields}
    return client.post(reverse("invitations", args=["sharpen"]), values)


def test_a_link_is_shown_once(cast, client_of):
    client = client_of(cast.manager)
    response = make_link(client, note="May")
    link = response.context["link"]
    assert response.status_code == 201
    assert link in response.content.decode()
    page = client.get(reverse("invitations", args=["sharpen"])).content.decode()
    assert "/join/" not in page
    assert "May" in page
    assert client_of(cast.stranger).get(link).status_code == 200


def test_the_page_tells_who_came(cast, client_of, invite):
    _, path = invite()
    client_of(cast.stranger).post(path)
    page = client_of(cast.manager).get(reverse("invitations", args=["sharpen"])).content.decode()
    assert "stranger" in page


@pytest.mark.parametrize("wrong", [{"role": "king"}, {"lasts": "9999"}, {"max_uses": "0"}])
def test_a_bad_wish_makes_no_link(cast, client_of, wrong):
    assert make_link(client_of(cast.manager), **wrong).status_code == 422
    assert not Invitation.objects.exists()


def test_revoking(cast, client_of, invite):
    invitation, _ = invite()
    address = reverse("revoke_invitation", args=["sharpen", invitation.pk])
    client_of(cast.manager).post(address)
    invitation.refresh_from_db()
    assert invitations.state_of(invitation) == "revoked"


def test_invitations_are_for_managers(cast, client_of, invite):
    invitation, _ = invite()
    for address in (
        reverse("invitations", args=["sharpen"]),
        reverse("revoke_invitation", args=["sharpen", invitation.pk]),
    ):
        assert client_of(cast.rater).post(address).status_code == 403
        assert client_of(cast.stranger).post(address).status_code == 404

"""The report, the comparison and the downloads as a manager uses them."""

from __future__ import annotations

import io
import tarfile

import pytest
from django.urls import reverse

from annotate.models import PreferencePair
from training.engine.config import flat
from training.exports.compare import data_difference, settings_that_differ
from training.models import HubPush, Round

pytestmark = pytest.mark.django_db
REPORT = reverse("report", args=["sharpen", 1])
ADDRESSES = [
    REPORT,
    reverse("compare", args=["sharpen"]),
    reverse("download_adapter", args=["sharpen", 1]),
    reverse("download_merged", args=["sharpen", 1]),
    reverse("model_card", args=["sharpen", 1]),
]
BUTTONS = [
    reverse(name, args=["sharpen", 1]) for name in ("merge", "cancel_merge", "unmerge", "push")
]


def text(response) -> str:
    return " ".join(response.content.decode().split())


@pytest.fixture
def manager(cast, client_of):
    return client_of(cast.manager)


@pytest.mark.parametrize("address", ADDRESSES)
def test_only_managers_see_it(answered, cast, client_of, address):
    assert client_of(cast.stranger).get(address).status_code == 404
    assert client_of(cast.rater).get(address).status_code == 403


@pytest.mark.parametrize("address", BUTTONS)
def test_only_managers_press_it(answered, cast, client_of, address):
    assert client_of(cast.stranger).post(address).status_code == 404
    assert client_of(cast.rater).post(address).status_code == 403
    assert client_of(cast.manager).get(address).status_code == 405


def test_the_report_shows_shares_with_n_and_interval(answered, manager):
    page = text(manager.get(REPORT))
    assert "Ranking accuracy of the reference" in page
    assert "49–94" in page  # of the 8 of 10
    assert "0.693 → 0.512" in page
    assert "−0.250" in page
    assert "2 raters" in page
    assert "3 pairs of judgements" in page
    assert "Before 1." in page
    assert "Now 1." in page


def test_the_round_page_leads_to_it(answered, manager):
    assert REPORT in text(manager.get(answered.get_absolute_url()))


def test_a_round_that_has_not_succeeded_has_none(new_round, manager):
    round_ = new_round()
    Round.objects.filter(pk=round_.pk).update(state=Round.State.FAILED, policy=None)
    assert manager.get(REPORT).status_code == 404
    assert manager.post(reverse("merge", args=["sharpen", 1])).status_code == 404


def test_the_adapter_comes_with_a_fresh_card(answered, manager, adapter):
    (adapter / "README.md").write_text("an old card")
    response = manager.get(reverse("download_adapter", args=["sharpen", 1]))
    data = b"".join(response.streaming_content)
    assert int(response["Content-Length"]) == len(data)
    assert response["Content-Disposition"] == 'attachment; filename="sharpen-round-1.tar"'
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    assert files["sharpen-round-1/adapter_model.safetensors"] == b"weights" * 100
    assert b"## Results" in files["sharpen-round-1/README.md"]
    assert (
        files["sharpen-round-1/README.md"].decode()
        == manager.get(reverse("model_card", args=["sharpen", 1])).content.decode()
    )


def test_files_that_are_gone_are_said_to_be(answered, manager, adapter):
    for path in adapter.iterdir():
        path.unlink()
    adapter.rmdir()
    assert manager.get(reverse("download_adapter", args=["sharpen", 1])).status_code == 404
    assert "no longer in the data folder" in text(manager.get(REPORT))


def test_a_push_that_cannot_go_says_why(answered, manager):
    wish = {"what": "adapter", "repo": "a/b"}
    page = text(manager.post(reverse("push", args=["sharpen", 1]), wish, follow=True))
    assert "The hub needs a token with write access." in page
    page = text(manager.post(reverse("push", args=["sharpen", 1]), {"what": "x"}, follow=True))
    assert "Nothing to do." in page


def test_a_push_is_private_unless_said_otherwise(answered, manager):
    wish = {"what": "adapter", "repo": "a/b", "token": "hf_secret_of_mine"}
    page = text(manager.post(reverse("push", args=["sharpen", 1]), wish, follow=True))
    assert HubPush.objects.get().is_private
    assert "hf_secret_of_mine" not in page
    manager.post(reverse("push", args=["sharpen", 1]), {**wish, "repo": "a/c", "public": "yes"})
    assert not HubPush.objects.get(repo="a/c").is_private


# --- two rounds ---


@pytest.fixture
def two(answered, new_round) -> tuple[Round, Round]:
    """The second has another beta, and one pair fewer."""
    config = {**answered.config, "beta": 0.3}
    pairs = list(PreferencePair.objects.order_by("pk"))[1:]
    return answered, new_round(2, sha256="ef" * 32, config=config, pairs=pairs)


def test_settings_that_differ_are_named(two):
    names = {setting.name: (setting.a, setting.b) for setting in settings_that_differ(*two)}
    assert names == {"beta": (0.1, 0.3)}


def test_flat_names_what_is_inside():
    assert flat({"a": 1, "b": {"c": {"d": 2}}}) == {"a": 1, "b.c.d": 2}


def test_pairs_that_only_one_has_are_counted(two):
    a, b = two
    difference = data_difference(a.snapshot, b.snapshot)
    assert (difference.both, difference.a.train, difference.a.held_out) == (2, 1, 0)
    assert (difference.b.train, difference.b.held_out, difference.is_same) == (0, 0, False)
    assert difference.same_held_out
    assert data_difference(a.snapshot, a.snapshot).is_same


def test_the_page_lays_the_curves_over_each_other(two, manager):
    response = manager.get(reverse("compare", args=["sharpen"]), {"a": "1", "b": "2"})
    page = text(response)
    assert "Round 1 beside round 2" in page
    assert "<code>beta</code>" in page
    assert page.count('class="series held-out round-a"') == page.count('class="series round-b"')
    assert response.context["charts"][0].legend == [
        ("Round 1", "held-out round-a", "0.69 → 0.51"),
        ("Round 2", "round-b", "0.69 → 0.51"),
    ]
    assert "Only in round 1: 1 to train on, 0 held out" in page
    assert "measured on the same held-out pairs" in page


@pytest.mark.parametrize(
    ("wish", "status"),
    [({}, 200), ({"a": "1", "b": "1"}, 200), ({"a": "1", "b": "9"}, 404), ({"a": "x"}, 404)],
)
def test_what_cannot_be_compared(two, manager, wish, status):
    assert manager.get(reverse("compare", args=["sharpen"]), wish).status_code == status


def test_the_list_of_rounds_offers_the_last_two(two, manager):
    page = text(manager.get(reverse("rounds", args=["sharpen"])))
    assert '<option value="1" selected>' in page
    assert '<option value="2" selected>' in page

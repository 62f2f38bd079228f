from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotate.models import Comparison, Judgement, PreferencePair
from annotate.queue.cards import serve_ahead, serve_next
from annotate.queue.history import CannotUndo, can_undo, last_verdicts, reopen_verdict, undo_last
from annotate.queue.leases import release_expired
from annotate.queue.record import record_verdict
from annotate.queue.verdicts import VerdictDetails
from tests.factories import join, make_comparison, make_project, make_user

pytestmark = pytest.mark.django_db
LATER = timedelta(minutes=11)


@pytest.fixture
def project():
    return make_project(reason_mode="optional")


@pytest.fixture
def rater(project):
    return join(project, make_user())


@pytest.fixture
def other(project):
    return join(project, make_user())


def judge(project, rater, choice="left", **named):
    card = serve_next(project=project, rater=rater)
    return record_verdict(code=card.code, rater=rater, choice=choice, **named).judgement


def counted():
    return Judgement.objects.get(retracted_at=None, decided_at__isnull=False)


def test_any_of_the_last_verdicts_is_reopened_and_changed(project, rater):
    for _ in range(3):
        make_comparison(project)
    first = judge(project, rater, details=VerdictDetails(reason="Short."))
    judge(project, rater)
    again = reopen_verdict(rater=rater, code=first.code)
    assert again.replaces == first
    assert again.swapped == first.swapped
    assert serve_next(project=project, rater=rater) == again
    assert judge(project, rater, "tie") == again
    first.refresh_from_db()
    assert (first.reason, first.retracted_at is None) == ("Short.", False)


def test_a_reopened_card_goes_before_the_one_that_was_open(project, rater):
    make_comparison(project)
    make_comparison(project)
    old = judge(project, rater)
    shown = serve_next(project=project, rater=rater)
    again = reopen_verdict(rater=rater, code=old.code)
    assert serve_next(project=project, rater=rater) == again
    assert serve_ahead(project=project, rater=rater, after=again.code) == shown


def test_a_reopened_card_that_is_left_gives_the_former_verdict_back(project, rater):
    comparison = make_comparison(project)
    old = judge(project, rater)
    undo_last(project=project, rater=rater)
    assert not PreferencePair.objects.exists()
    assert release_expired(now=timezone.now() + LATER) == 1
    assert counted() == old
    comparison.refresh_from_db()
    assert (comparison.result, comparison.judgements_taken) == ("pair", 1)
    assert PreferencePair.objects.count() == 1
    assert can_undo(project=project, rater=rater)


def test_a_reload_keeps_the_reopened_card(project, rater):
    make_comparison(project)
    judge(project, rater)
    again = undo_last(project=project, rater=rater)
    late = timezone.now() + LATER
    assert serve_next(project=project, rater=rater, now=late) == again
    assert release_expired(now=late) == 0


def test_a_reopened_skip_that_is_left_is_a_skip_again(project, rater, other):
    comparison = make_comparison(project)
    old = judge(project, rater, "skip")
    undo_last(project=project, rater=rater)
    release_expired(now=timezone.now() + LATER)
    assert counted() == old
    comparison.refresh_from_db()
    assert comparison.judgements_taken == 0
    assert serve_next(project=project, rater=other) is not None


def test_a_change_that_comes_after_its_time_still_counts(project, rater):
    comparison = make_comparison(project)
    judge(project, rater, "left")
    again = undo_last(project=project, rater=rater)
    release_expired(now=timezone.now() + LATER)
    done = record_verdict(code=again.code, rater=rater, choice="tie")
    assert done.status == "stored"
    assert counted() == again
    comparison.refresh_from_db()
    assert comparison.result == "tie"


def test_a_change_that_comes_after_the_freeze_is_kept_uncounted(project, rater):
    make_comparison(project)
    old = judge(project, rater, "left")
    again = undo_last(project=project, rater=rater)
    release_expired(now=timezone.now() + LATER)
    PreferencePair.objects.update(frozen_at=timezone.now())
    for _ in range(2):
        done = record_verdict(code=again.code, rater=rater, choice="tie")
        assert done.status == "late"
    assert counted() == old
    assert done.judgement.outcome == "tie"


def test_a_change_that_was_changed_again_is_not_counted(project, rater):
    make_comparison(project)
    old = judge(project, rater)
    first = undo_last(project=project, rater=rater)
    release_expired(now=timezone.now() + LATER)
    reopen_verdict(rater=rater, code=old.code)
    done = record_verdict(code=first.code, rater=rater, choice="tie")
    assert done.status == "undone"


def test_others_verdicts_cannot_be_reopened_or_seen(project, rater, other):
    make_comparison(project)
    old = judge(project, rater)
    with pytest.raises(CannotUndo):
        reopen_verdict(rater=other, code=old.code)
    assert last_verdicts(project=project, rater=other) == []


def test_an_undecided_card_cannot_be_reopened(project, rater):
    make_comparison(project)
    card = serve_next(project=project, rater=rater)
    with pytest.raises(CannotUndo):
        reopen_verdict(rater=rater, code=card.code)


def test_a_skip_that_others_have_judged_stays(project, rater, other):
    make_comparison(project)
    skipped = judge(project, rater, "skip")
    judge(project, other, "left")
    with pytest.raises(CannotUndo, match="Others"):
        reopen_verdict(rater=rater, code=skipped.code)
    assert Comparison.objects.get().result == "pair"
    assert PreferencePair.objects.count() == 1


def test_the_history_tells_what_can_be_changed(project, rater, other):
    for _ in range(3):
        make_comparison(project)
    judge(project, rater, "left")
    PreferencePair.objects.update(frozen_at=timezone.now())
    judge(project, rater, "tie")
    late = serve_next(project=project, rater=rater)
    after = timezone.now() + LATER
    theirs = serve_next(project=project, rater=other, now=after)
    record_verdict(code=theirs.code, rater=other, choice="tie", now=after)
    record_verdict(code=late.code, rater=rater, choice="right", now=after)
    verdicts = last_verdicts(project=project, rater=rater)
    assert [past.choice for past in verdicts] == ["right", "tie", "left"]
    assert "too late" in verdicts[0].kept_because
    assert verdicts[1].kept_because == ""
    assert "training round" in verdicts[2].kept_because


def test_the_page_lists_and_reopens(project, rater, client_of):
    make_comparison(project)
    old = judge(project, rater, details=VerdictDetails(reason="Too long-winded."))
    client = client_of(rater)
    page = client.get(reverse("history", args=[project.slug])).content.decode()
    assert "Response A is better" in page
    url = reverse("reopen", args=[project.slug, old.code])
    assert url in page
    answer = client.post(url)
    assert answer["Location"] == reverse("rate", args=[project.slug])
    context = client.get(answer["Location"]).context
    assert context["reopened"]
    assert context["kept"]["choice"] == "left"
    assert context["kept"]["reason"] == "Too long-winded."


def test_the_page_says_why_a_verdict_stays(project, rater, client_of):
    make_comparison(project)
    old = judge(project, rater)
    PreferencePair.objects.update(frozen_at=timezone.now())
    client = client_of(rater)
    url = reverse("reopen", args=[project.slug, old.code])
    assert url not in client.get(reverse("history", args=[project.slug])).content.decode()
    assert "training round" in client.post(url, follow=True).content.decode()

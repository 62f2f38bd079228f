"""Two windows, an abandoned card, and the browser's back button."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from annotate.models import Judgement
from annotate.queue.cards import serve_next
from tests.browser.desk import Desk, judged, make_cards

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def rating(desk, cast):
    make_cards(cast.project, 4)
    return desk.open()


def test_two_windows_share_one_card_and_one_verdict(rating, context, cast):
    other = Desk(context.new_page(), cast.project).open()
    assert other.code == rating.code
    stale = other.code
    rating.held(1).press("0")
    expect(other.page.locator("#card[data-code]")).not_to_have_attribute("data-code", stale)
    expect(other.page.locator("#notice")).to_contain_text("in another window")
    assert other.ready().code == rating.code
    rating.all_sent()
    assert judged() == ["tie"]
    other.press("x")
    other.all_sent()
    assert judged() == ["tie", "both_bad"]


def test_both_windows_offline_on_one_card_send_one_verdict(rating, context, cast):
    rating.page.expected_errors.append("ERR_INTERNET_DISCONNECTED")
    other = Desk(context.new_page(), cast.project).open()
    rating.held(1)
    other.held(1)
    context.set_offline(True)
    rating.page.evaluate("document.body.dataset.here = 1")
    rating.press("0")
    other.ready()
    context.set_offline(False)
    rating.all_sent()
    assert judged() == ["tie"]


def test_a_card_that_others_have_taken_is_told_and_the_next_one_comes(rating, cast):
    mine = Judgement.objects.filter(rater=cast.rater).first()
    before = rating.held(1).code
    assert str(mine.code) == before
    past = timezone.now() - timedelta(minutes=1)
    Judgement.objects.filter(pk=mine.pk).update(expires_at=past)
    for _ in range(4):  # the colleague judges every free card, including the returned one
        theirs = serve_next(project=cast.project, rater=cast.colleague)
        Judgement.objects.filter(pk=theirs.pk).update(served_at=past)
        if theirs.comparison_id == mine.comparison_id:
            break
        from annotate.queue.record import record_verdict

        record_verdict(code=theirs.code, rater=cast.colleague, choice="tie")
    rating.page.expected_errors += ["410"]
    rating.next_card(
        lambda: rating.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    )
    expect(rating.page.locator("#notice")).to_contain_text("somebody else has that one now")
    assert rating.code != before


def test_the_lease_is_renewed_while_somebody_is_there(rating, cast):
    mine = Judgement.objects.get(code=rating.code)
    soon = timezone.now() + timedelta(seconds=30)
    Judgement.objects.filter(pk=mine.pk).update(expires_at=soon)
    with rating.page.expect_response("**/lease/") as answer:
        rating.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert answer.value.status == 204
    mine.refresh_from_db()
    assert mine.expires_at > soon


def test_a_late_verdict_is_told_kindly(rating, cast):
    mine = Judgement.objects.get(code=rating.held(1).code)
    mine.comparison.state, mine.comparison.result = "settled", "tie"
    mine.comparison.save()
    rating.press("1")
    expect(rating.page.locator("#notice")).to_contain_text("kept, but it does not count")


def test_the_back_button_shows_the_current_card_and_sends_nothing_twice(rating, cast):
    rating.press("0")
    current = rating.press("x")
    rating.all_sent()
    rating.page.goto("/you/")
    rating.page.go_back()
    assert rating.ready().code == current
    rating.page.go_forward()
    rating.page.go_back()
    rating.press("0")
    rating.all_sent()
    assert judged() == ["tie", "both_bad", "tie"]
    assert Judgement.objects.filter(decided_at__isnull=False).count() == 3


def test_a_card_reopened_from_the_history_is_prefilled(desk, cast):
    cast.project.reason_mode = "optional"
    cast.project.save()
    make_cards(cast.project, 3)
    page = desk.open().page
    page.fill("#reason", "A is right.")
    page.locator("#reason").press("Escape")
    desk.press("1")
    desk.all_sent()
    page.click("text=History")
    page.locator("form[action*=reopen] button").first.click()
    desk.ready()
    expect(page.locator("#reason")).to_have_value("A is right.")
    page.fill("#reason", "B is right after all.")
    page.locator("#reason").press("Escape")
    desk.press("2")
    desk.all_sent()
    latest = Judgement.objects.get(decided_at__isnull=False, retracted_at=None)
    assert latest.reason == "B is right after all."

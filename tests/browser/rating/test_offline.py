"""Nothing that a rater decides or types is lost, whatever happens to the connection."""

import re

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import expect

from annotate.models import Judgement
from annotate.queue import cards
from tests.browser.desk import judged, make_cards
from tests.conftest import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LOST = ["ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "Failed to load resource"]


@pytest.fixture
def rating(desk, cast):
    make_cards(cast.project, 4)
    return desk.open()


def test_offline_for_ten_votes_and_back(desk, cast, monkeypatch):
    monkeypatch.setattr(cards, "DEEP_QUEUE", 1)
    make_cards(cast.project, 13)
    desk.open().held(10)
    desk.page.expected_errors += LOST
    desk.page.context.set_offline(True)
    expect(desk.page.locator("#connection")).to_contain_text("Offline")
    codes = [desk.code]
    for key in ("0", "x", "1", "2", "0", "x", "1", "2", "0"):
        codes.append(desk.press(key))
    desk.press("x")  # the tenth; an eleventh card is still held
    expect(desk.page.locator("#connection")).to_contain_text("10 verdicts are kept here")
    assert judged() == []
    desk.page.keyboard.press("0")
    expect(desk.page.get_by_text("Waiting for the connection")).to_be_visible()
    desk.page.context.set_offline(False)
    desk.all_sent()
    assert len(judged()) == 11
    outcomes = [judged()[index] for index in (0, 1, 4, 5, 8, 9, 10)]
    assert outcomes == ["tie", "both_bad", "tie", "both_bad", "tie", "both_bad", "tie"]
    sent = Judgement.objects.filter(decided_at__isnull=False).order_by("decided_at")
    assert [str(judgement.code) for judgement in sent][:10] == codes
    expect(desk.page.locator("#connection")).to_be_hidden()
    desk.ready()
    assert desk.page.locator(".answer.left").is_visible()


def test_offline_the_last_verdict_can_be_taken_back(rating):
    rating.page.expected_errors += LOST
    rating.held(1).page.context.set_offline(True)
    before = rating.code
    rating.press("0")
    rating.press("u")
    assert rating.code == before
    rating.page.context.set_offline(False)
    rating.press("x")
    rating.all_sent()
    assert judged() == ["both_bad"]


def test_a_verdict_whose_answer_was_lost_counts_once(rating):
    rating.page.expected_errors += LOST
    rating.held(1)
    lost = []

    def lose_the_answer(route):
        if route.request.method == "POST" and not lost:
            lost.append(route.fetch())  # the server has it, the browser does not know
            route.abort()
        else:
            route.continue_()

    rating.page.route(re.compile(r"/rate/[0-9a-f-]{36}/$"), lose_the_answer)
    rating.press("0")
    rating.until(lambda: lost, "the first try")
    rating.all_sent()
    assert judged() == ["tie"]
    assert Judgement.objects.filter(decided_at__isnull=False).count() == 1


def test_a_verdict_survives_a_closed_window(rating, cast):
    rating.held(1).page.context.set_offline(True)
    first = rating.code
    rating.press("0")
    rating.page.context.set_offline(False)
    rating.page.route("**/rate/*-*/", lambda route: route.abort())
    rating.page.expected_errors += LOST
    other = rating.page.context.new_page()
    rating.page.close()
    other.goto(f"/p/{cast.project.slug}/rate/")
    expect(other.locator("#card[data-code][data-ready]")).to_be_attached()
    expect(other.locator("#card[data-code]")).not_to_have_attribute("data-code", first)
    wait_for(lambda: judged() == ["tie"], "the verdict of the closed window")


def test_signed_out_meanwhile_the_verdict_waits_and_is_sent_after_signing_in(rating, cast, log_in):
    rating.page.expected_errors += LOST
    rating.held(1)
    Session.objects.all().delete()
    rating.press("0")
    expect(rating.page.locator("#connection")).to_contain_text("You are signed out")
    assert judged() == []
    rating.page.get_by_role("link", name="Sign in").click()
    rating.page.get_by_label("Username").fill("rater")
    rating.page.get_by_label("Password").fill("rater")
    rating.page.get_by_role("button", name="Sign in").click()
    rating.ready()
    rating.all_sent()
    assert judged() == ["tie"]


def test_another_person_who_signs_in_does_not_send_it(rating, cast, log_in):
    rating.page.expected_errors += LOST
    rating.held(1)
    log_in(cast.colleague)
    rating.press("0")
    expect(rating.page.locator("#connection")).to_contain_text("Someone else is signed in")
    log_in(cast.rater)
    rating.page.reload()
    rating.all_sent()
    assert judged() == ["tie"]


def test_a_server_in_trouble_is_asked_again(rating):
    rating.page.expected_errors += [*LOST, "503"]
    rating.held(1)
    rating.page.route("**/rate/*-*/", lambda route: route.fulfill(status=503), times=1)
    rating.press("0")
    expect(rating.page.locator("#connection")).to_contain_text("The server has a problem")
    rating.all_sent()
    expect(rating.page.locator("#connection")).to_be_hidden()
    assert judged() == ["tie"]


def test_a_reload_in_mid_reason_keeps_all_that_was_entered(desk, cast):
    cast.project.reason_mode = "optional"
    cast.project.reason_tags = ["Wrong", "Rude"]
    cast.project.criteria = [{"key": "honest", "name": "Honest"}]
    cast.project.editing_on = True
    cast.project.save()
    make_cards(cast.project, 3)
    page = desk.open().page
    page.click("label[for=tag-2]")
    page.click("label[for=criterion-1-right]")
    page.click("text=Write a better answer")
    page.click("label[for=from-left]")
    page.locator("#edit").press_sequentially("And more. ")
    page.locator("#reason").press_sequentially("B names its sour")
    page.reload()
    desk.ready()
    expect(page.locator("#reason")).to_have_value("B names its sour")
    expect(page.locator("#tag-2")).to_be_checked()
    expect(page.locator("#criterion-1-right")).to_be_checked()
    expect(page.locator("#edit")).to_have_value(re.compile("answer to"))
    page.locator("#reason").press("Escape")
    desk.press("2")
    desk.all_sent()
    judgement = Judgement.objects.get(decided_at__isnull=False)
    assert (judgement.reason, judgement.reason_tags) == ("B names its sour", ["Rude"])
    assert judgement.criteria["honest"] == judgement.outcome
    assert page.evaluate("Object.keys(localStorage).filter(k => k.includes('draft')).length") == 0

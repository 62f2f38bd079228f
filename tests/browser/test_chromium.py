"""The browser under test reaches the live server and nothing else."""

from tests.browser.find_chromium import find_chromium


def test_a_person_who_is_logged_in_is_known(page, log_in, cast):
    cast.manager.is_staff = True
    cast.manager.save()
    log_in(cast.manager)
    page.goto("/admin/")
    assert "manager" in page.locator("#user-tools").inner_text().lower()


def test_an_error_of_the_page_is_noticed(page, live_server):
    page.expected_errors.append("404")
    assert page.goto("/no/such/page/").status == 404


def test_a_named_chromium_comes_first(monkeypatch, tmp_path):
    program = tmp_path / "my-chromium"
    program.touch(mode=0o755)
    monkeypatch.setenv("CHROMIUM", str(program))
    assert find_chromium() == program

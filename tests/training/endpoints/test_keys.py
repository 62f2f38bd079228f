"""Keys at rest: encrypted, bound to a host, shown nowhere."""

import pytest

from training.endpoints.guard import origin_of
from training.endpoints.keys import ApiKey, KeyUnreadable, seal, unseal

HERE = origin_of("https://api.example.org/v1")


def test_a_key_comes_back_for_its_own_host():
    sealed = seal("sk-secret", HERE)
    assert "sk-secret" not in sealed
    assert unseal(sealed, HERE).value == "sk-secret"
    assert unseal("", HERE).value == ""


@pytest.mark.parametrize(
    "url",
    ["https://api.example.net", "http://api.example.org:443", "https://api.example.org:8443"],
)
def test_a_key_is_for_no_other_host_scheme_or_port(url):
    with pytest.raises(KeyUnreadable, match="another host"):
        unseal(seal("sk-secret", HERE), origin_of(url))


def test_a_changed_secret_is_said_in_words(settings):
    sealed = seal("sk-secret", HERE)
    settings.SECRET_KEY = "another secret altogether"
    with pytest.raises(KeyUnreadable, match="Enter the key again"):
        unseal(sealed, HERE)


def test_a_key_file_takes_the_place_of_the_sites_secret(settings, tmp_path):
    file = tmp_path / "key"
    settings.KEY_FILE = str(file)
    file.write_text("0123456789" * 4)
    sealed = seal("sk-secret", HERE)
    settings.SECRET_KEY = "another secret altogether"
    assert unseal(sealed, HERE).value == "sk-secret"
    file.write_text("too short")
    with pytest.raises(ValueError, match="WHETSTONE_KEY_FILE"):
        seal("sk-secret", HERE)


def test_a_key_shows_itself_nowhere():
    key = ApiKey("sk-secret")
    assert "sk-secret" not in f"{key} {key!r} {[key]}"
    assert key.scrub("with sk-secret in it") == "with ••• in it"
    assert ApiKey().scrub("as it is") == "as it is"

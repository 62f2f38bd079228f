"""Which hosts may be reached: the rules by table, and the check in the transport."""

from __future__ import annotations

import asyncio
import ipaddress

import httpx2
import pytest

from tests.training.endpoints.stub import running_stub
from training.endpoints import guard
from training.endpoints.guard import AddressRefused, GuardedTransport, HostRules, Origin, origin_of

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.org/v1", Origin("https", "api.example.org", 443)),
        ("http://LOCALHOST:11434/v1", Origin("http", "localhost", 11434)),
        ("http://[::1]:80/", Origin("http", "::1", 80)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.org/v1",
        "ftp://api.example.org",
        "file:///etc/passwd",
        "https://",
        "https://user@api.example.org",
        "https://:word@api.example.org",
        "https://api.example.org/v1?key=1",
        "https://api.example.org/v1#there",
        "https://api.example.org:99999",
        "https://[::1",
    ],
)
def test_what_is_no_plain_address_is_refused(url):
    with pytest.raises(AddressRefused):
        origin_of(url)


@pytest.mark.parametrize(
    ("listed", "url", "allowed"),
    [
        ([], "https://api.example.org", False),
        (["api.example.org"], "https://api.example.org", True),
        (["API.example.org "], "https://api.example.org:8443", True),
        (["api.example.org:443"], "https://api.example.org:8443", False),
        (["api.example.org"], "https://api.example.org.evil.net", False),
        (["*.example.org"], "https://deep.api.example.org", True),
        (["*.example.org"], "https://example.org", False),
        (["10.0.0.0/8"], "http://10.1.2.3:8000", True),
        (["10.0.0.0/8"], "http://11.1.2.3:8000", False),
        (["10.0.0.0/8"], "http://vllm.internal:8000", False),
        (["127.0.0.1:8000"], "http://127.0.0.1:8000", True),
        (["127.0.0.1:8000"], "http://127.0.0.1:9000", False),
        (["[::1]:8000"], "http://[::1]:8000", True),
        (["*"], "https://anything.example.net", True),
    ],
)
def test_only_listed_hosts_are_asked(listed, url, allowed):
    check = HostRules.of(listed).check_origin
    if allowed:
        check(origin_of(url))
    else:
        with pytest.raises(AddressRefused, match="WHETSTONE_ENDPOINT_HOSTS"):
            check(origin_of(url))


@pytest.mark.parametrize(
    ("listed", "url", "address", "allowed"),
    [
        (["api.example.org"], "https://api.example.org", PUBLIC, True),
        (["api.example.org"], "http://api.example.org", PUBLIC, False),
        (["api.example.org"], "https://api.example.org", "127.0.0.1", False),
        (["api.example.org"], "https://api.example.org", "10.0.0.5", False),
        (["api.example.org"], "https://api.example.org", "169.254.169.254", False),
        (["api.example.org"], "https://api.example.org", "0.0.0.0", False),
        (["api.example.org"], "https://api.example.org", "224.0.0.1", False),
        (["api.example.org"], "https://api.example.org", "::1", False),
        (["api.example.org"], "https://api.example.org", "fd00::1", False),
        (["api.example.org"], "https://api.example.org", "::ffff:127.0.0.1", False),
        (["api.example.org"], "https://api.example.org", "64:ff9b::a00:5", False),
        (["api.example.org"], "https://api.example.org", "2002:7f00:1::", False),
        (["vllm.internal", "10.0.0.0/24"], "http://vllm.internal", "10.0.0.5", True),
        (["vllm.internal", "10.0.0.0/24"], "http://vllm.internal", "10.0.1.5", False),
        (["localhost"], "http://localhost:11434", "127.0.0.1", True),
        (["localhost"], "http://localhost:11434", "::1", True),
        (["localhost"], "http://localhost:11434", "10.0.0.5", False),
        (["*"], "http://localhost:11434", "127.0.0.1", False),
        (["*"], "https://anything.example.net", "192.168.1.1", False),
    ],
)
def test_where_a_listed_name_may_lead(listed, url, address, allowed):
    rules = HostRules.of(listed)
    ip = ipaddress.ip_address(address)
    if allowed:
        rules.check_address(origin_of(url), ip)
    else:
        with pytest.raises(AddressRefused):
            rules.check_address(origin_of(url), ip)


@pytest.mark.parametrize("entry", [":80", "host:port"])
def test_a_list_that_makes_no_sense_is_said(entry):
    with pytest.raises(ValueError, match=entry):
        HostRules.of([entry])


def get(url: str, transport: GuardedTransport) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=transport) as client:
            return await client.get(url)

    return asyncio.run(ask())


def test_a_name_that_leads_elsewhere_at_the_second_look_is_not_followed(monkeypatch):
    """DNS rebinding: the name was public when it was saved, and is the loopback address now."""
    looks = []

    async def rebinding(origin):
        looks.append(origin)
        return [ipaddress.ip_address("127.0.0.1")]

    monkeypatch.setattr(guard, "resolve", rebinding)
    with running_stub() as stub:
        url = f"https://api.example.org:{stub.port}/v1"
        transport = GuardedTransport(
            origin=origin_of(url), rules=HostRules.of(["api.example.org"]), key="secret"
        )
        with pytest.raises(AddressRefused, match="not a public address"):
            get(url, transport)
        assert (len(looks), stub.requests) == (1, [])


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch):
    """The name is resolved once per request: the checked address is the one connected to."""
    looks = []

    async def resolve(origin):
        looks.append(origin)
        return [ipaddress.ip_address("127.0.0.1")]

    monkeypatch.setattr(guard, "resolve", resolve)
    with running_stub() as stub:
        url = f"http://no-such-name.invalid:{stub.port}/v1/models"
        rules = HostRules.of(["no-such-name.invalid", "127.0.0.1"])
        response = get(url, GuardedTransport(origin=origin_of(url), rules=rules, key="secret"))
        assert response.status_code == 200
        assert stub.requests[0].headers["host"] == f"no-such-name.invalid:{stub.port}"
    assert len(looks) == 1


def test_the_key_goes_to_its_origin_alone():
    with running_stub() as stub, running_stub() as other:
        rules = HostRules.of(["127.0.0.1"])
        transport = GuardedTransport(origin=origin_of(stub.url), rules=rules, key="secret")
        with pytest.raises(AddressRefused, match="another host"):
            get(other.url, transport)
        assert other.requests == []

"""Which hosts may be reached, and what may come back: a transport that checks at the last moment.

An address that a manager types is a request that our server makes. So the host must be on the
operator's list; its name is resolved once, every address is checked, and the connection goes to
a checked address and no other. Redirects are refused, bodies are capped. Knows no database.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fnmatch
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import httpx2
from django.utils.translation import gettext as _

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.ip_network("64:ff9b::/96")
PORTS = {"http": 80, "https": 443}
SENT_HEADERS = {"host", "accept", "content-type", "content-length", "transfer-encoding"}
"""All that leaves: what a client adds from the environment stays here."""


class AddressRefused(Exception):
    """An address that is not reached, or an answer that is not read; the message says why."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Scheme, host and port: what a key is bound to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def origin_of(url: str) -> Origin:
    """The origin of ``url``. Raises Refused where it is no plain http(s) address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(_("This is no address: %(url)s.") % {"url": url}) from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise AddressRefused(_("An address begins with https:// or http:// and names a host."))
    if parts.username is not None or parts.password is not None:
        raise AddressRefused(
            _("Leave name and password out of the address; the key has its own field.")
        )
    if parts.query or parts.fragment:
        raise AddressRefused(_("Leave out what follows ? or #; the address ends with its path."))
    return Origin(parts.scheme, parts.hostname.rstrip("."), port or PORTS[parts.scheme])


@dataclasses.dataclass(frozen=True)
class HostRules:
    """The operator's list: names, with a port or for all, and networks.

    A name says who may be asked; a network says where a private address may lead.
    """

    names: tuple[tuple[str, int | None], ...] = ()
    networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[str]) -> HostRules:
        """The rules of ``WHETSTONE_ENDPOINT_HOSTS``. Raises ValueError at an entry like ``:80``."""
        names: list[tuple[str, int | None]] = []
        networks: list[IPNetwork] = []
        for entry in filter(None, (line.strip().lower() for line in entries)):
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                host, _colon, port = entry.rpartition(":") if ":" in entry else (entry, "", "")
                if not host or (port and not port.isdigit()):
                    raise ValueError(
                        f"WHETSTONE_ENDPOINT_HOSTS: {entry!r} is neither a host, a host:port, "
                        "nor a network such as 10.1.0.0/16"
                    ) from None
                address = _as_ip(host.strip("[]"))
                if address is None:
                    names.append((host, int(port) if port else None))
                else:  # 10.0.0.5:8000
                    names.append((str(address), int(port)))
                    networks.append(ipaddress.ip_network(address))
        return cls(tuple(names), tuple(networks))

    def check_origin(self, origin: Origin) -> None:
        """Raise Refused unless the operator has listed the host."""
        if self._names(origin):
            return
        literal = _as_ip(origin.host)
        ported = [port for name, port in self.names if name == str(literal)]
        if literal is not None and self._listed(literal) and not ported:
            return
        if not self.names and not self.networks:
            raise AddressRefused(
                _(
                    "No host is allowed yet. The operator of this site lists them in "
                    "WHETSTONE_ENDPOINT_HOSTS."
                )
            )
        message = _(
            "%(host)s is not on the list of allowed hosts. The operator of this site adds it "
            "to WHETSTONE_ENDPOINT_HOSTS."
        )
        raise AddressRefused(message % {"host": f"{origin.host}:{origin.port}"})

    def check_address(self, origin: Origin, address: IPAddress) -> None:
        """Raise Refused where ``address``, which the host's name led to, may not be reached."""
        plain = _plain(address)
        is_localhost = plain.is_loopback and origin.host == "localhost"
        is_listed = self._listed(plain) or (is_localhost and self._says_localhost())
        if not plain.is_global or plain.is_multicast:
            if not is_listed:
                message = _(
                    "%(host)s resolves to %(address)s, which is not a public address. The "
                    "operator of this site may add that address to WHETSTONE_ENDPOINT_HOSTS."
                )
                raise AddressRefused(message % {"host": origin.host, "address": plain})
        elif origin.scheme == "http" and not is_listed:
            message = _(
                "%(host)s is reached over the internet: its address must begin with https://."
            )
            raise AddressRefused(message % {"host": origin.host})

    def _says_localhost(self) -> bool:
        return any(name == "localhost" for name, _port in self.names)

    def _names(self, origin: Origin) -> bool:
        return any(
            fnmatch.fnmatchcase(origin.host.lower(), name) and port in (None, origin.port)
            for name, port in self.names
        )

    def _listed(self, address: IPAddress) -> bool:
        return any(address in network for network in self.networks)


def _as_ip(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _plain(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv6 one, where there is one: ::ffff:127.0.0.1 is 127.0.0.1."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return ipaddress.IPv4Address(address.packed[-4:])
        return address.ipv4_mapped or address.sixtofour or address
    return address


async def resolve(origin: Origin) -> list[IPAddress]:
    """The addresses of the host, asked now."""
    literal = _as_ip(origin.host)
    if literal is not None:
        return [literal]
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        # Not Refused: a name that cannot be found now may be found in a minute.
        raise httpx2.ConnectError(f"{origin.host}: no such host") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in addresses]


class GuardedTransport(httpx2.AsyncBaseTransport):
    """HTTP to one origin. The key is added here, so that it can go nowhere else."""

    def __init__(
        self,
        *,
        origin: Origin,
        rules: HostRules,
        key: str = "",
        most_bytes: int = 1 << 20,
        also_sent: frozenset[str] = frozenset(),
    ) -> None:
        self._origin, self._rules, self._key = origin, rules, key
        self.most_bytes = most_bytes
        self._sent = SENT_HEADERS | also_sent
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = origin_of(str(request.url.copy_with(query=None, fragment=None)))
        if asked != self._origin:
            raise AddressRefused(_("The request was for another host than the endpoint's."))
        self._rules.check_origin(asked)
        trouble: Exception = httpx2.ConnectError(f"{asked.host}: no address")
        for address in await resolve(asked):
            self._rules.check_address(asked, address)
            try:
                response = await self._inner.handle_async_request(self._to(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                trouble = error
                continue
            return await self._checked(response)
        raise trouble

    def _to(self, request: httpx2.Request, address: IPAddress) -> httpx2.Request:
        headers = {
            name: value for name, value in request.headers.items() if name.lower() in self._sent
        }
        headers |= {"User-Agent": "Whetstone", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return httpx2.Request(
            method=request.method,
            url=request.url.copy_with(host=str(address)),
            headers=headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": self._origin.host},
        )

    async def _checked(self, response: httpx2.Response) -> httpx2.Response:
        try:
            if 300 <= response.status_code < 400:
                message = _(
                    "The endpoint sends to another address (%(status)s), which is not followed."
                )
                raise AddressRefused(message % {"status": response.status_code})
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise AddressRefused(
                    _("The endpoint answers compressed, though it was asked not to.")
                )
            if int(response.headers.get("content-length", "0")) > self.most_bytes:
                raise too_large(self.most_bytes)
        except (AddressRefused, ValueError):
            await response.aclose()
            raise
        if not isinstance(response.stream, httpx2.AsyncByteStream):
            raise TypeError(response.stream)
        response.stream = _Capped(response.stream, self.most_bytes)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class TooLarge(AddressRefused):
    """A body beyond what is read of one answer."""


def too_large(most: int) -> TooLarge:
    message = _("The answer was larger than %(most)s KiB; the rest was not read.")
    return TooLarge(message % {"most": most // 1024})


class _Capped(httpx2.AsyncByteStream):
    """A body that ends with TooLarge instead of going on for ever."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream, self._most = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for part in self._stream:
            seen += len(part)
            if seen > self._most:
                raise too_large(self._most)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()

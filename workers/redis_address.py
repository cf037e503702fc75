"""Where Redis is: one address in the settings, for the ledger's client and for Celery's broker.

``redis://`` is one server. ``sentinel://user:password@host1,host2,host3/service/0`` asks Sentinels which server is the
primary now, at every new connection. ``rediss://`` and ``sentinels://`` are the same over TLS, whose certificates
are always verified: no address can switch that off. Without TLS only this machine is spoken to, and whom
ALLOW_INSECURE_HTTP names (the settings look at that; of the primary that Sentinels name, :func:`connect` does).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    import redis

    from workers.settings import Settings

#: How each scheme is reached: (through Sentinels, over TLS).
SCHEMES = {
    "redis": (False, False),
    "rediss": (False, True),
    "sentinel": (True, False),
    "sentinels": (True, True),
}
EXAMPLES = "redis://host:6379/0, rediss://host:6379/0 or sentinel://host1,host2,host3/service/0"
_PORT, _SENTINEL_PORT = 6379, 26379
#: The client's calls end: on a half-open connection, too. Seconds.
_TIMEOUTS = {"socket_timeout": 10, "socket_connect_timeout": 5, "socket_keepalive": True}
#: What providers of Redis write behind an address, and what asks for no more than is done anyway.
_HARMLESS = ("ssl_cert_reqs=required", "ssl_cert_reqs=cert_required")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """``hosts`` are Redis itself (one), or the Sentinels that know where ``service`` is."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int
    username: str | None
    password: str | None
    tls: bool


def parse(text: str) -> Address:
    """Take an address apart; ``ValueError`` says what is wrong, and shows nothing of it: it may hold a password."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError(f"must be an address such as {EXAMPLES}")
    by_sentinel, tls = SCHEMES[scheme]
    rest, _, query = rest.partition("?")
    if "#" in rest or (query and not (tls and query.lower() in _HARMLESS)):
        raise ValueError(
            "must be an address without a query (?): certificates are always verified, and REDIS_CA names whom to "
            "trust (in a password, ? # / @ are written %-encoded)"
        )
    credentials, _, where = rest.rpartition("@")
    places, _, path = where.partition("/")
    service, _, database = path.partition("/") if by_sentinel else ("", "", path)
    found = [_HOST.fullmatch(place) for place in places.split(",")]
    usual = _SENTINEL_PORT if by_sentinel else _PORT
    hosts = tuple((one["name"].strip("[]"), int(one["port"] or usual)) for one in found if one)
    if len(hosts) != len(found) or any(not 0 < port < 2**16 for _, port in hosts):
        raise ValueError(f"must be an address such as {EXAMPLES}")
    if len(hosts) > 1 and not by_sentinel:
        raise ValueError("names several servers: several are reached through Sentinels, sentinel://...")
    if by_sentinel and not re.fullmatch(r"[A-Za-z0-9._-]+", service):
        raise ValueError(
            "must name the service that the Sentinels watch: sentinel://host1,host2,host3/service/0"
        )
    if not re.fullmatch(r"[0-9]{0,4}", database):
        raise ValueError("must end with the number of the database, such as /0")
    if "/" in credentials:
        raise ValueError(
            f"must be an address such as {EXAMPLES} (in a password, ? # / @ are written %-encoded)"
        )
    parts = urlsplit(f"//{credentials}@-")
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    return Address(hosts, service, int(database or 0), user, password, tls)


def connect(settings: Settings, **more: Any) -> redis.Redis:
    """A client of the ledger's Redis; ``more`` goes before our own options."""
    from redis.sentinel import Sentinel  # noqa: PLC0415 - the settings need an address, and no client

    from workers.net.kept import Kept  # noqa: PLC0415
    from workers.net.sentinel import without_tls  # noqa: PLC0415

    address = parse(str(settings.redis_url))
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "decode_responses": True,
        "health_check_interval": 25,
        "socket_read_size": 8192,  # redis-py's own 32 KiB are kept by each of a worker's many connections
        **_TIMEOUTS,
        **({"ssl": True, **_tls(settings)} if address.tls else {}),
        **more,
    }
    if not address.service:
        (host, port), *_ = address.hosts
        return Kept(host=host, port=port, **options)
    if not address.tls:
        options["connection_class"] = without_tls(settings.in_clear.to)
    watchers = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs=_to_sentinels(address, settings), **options
    )
    client: redis.Redis = watchers.master_for(address.service)  # type: ignore[no-untyped-call]
    return client


def broker(settings: Settings) -> dict[str, Any]:
    """Celery's settings for the same place."""
    address = parse(str(settings.redis_url))
    found: dict[str, Any] = {"broker_use_ssl": _tls(settings)} if address.tls else {}
    if address.service:
        found["broker_url"] = ";".join(_url("sentinel", address, host) for host in address.hosts)
        found["broker_transport_options"] = {
            "master_name": address.service,
            "sentinel_kwargs": _to_sentinels(address, settings),
        }
        if not address.tls:
            from workers.net.sentinel import without_tls  # noqa: PLC0415 - as above

            found["broker_transport_options"]["connection_class"] = without_tls(settings.in_clear.to)
    else:
        found["broker_url"] = _url("rediss" if address.tls else "redis", address, address.hosts[0])
    return found


def _url(scheme: str, address: Address, host: tuple[str, int]) -> str:
    """One server, as kombu wants it: Sentinels are a list of such."""
    name, port = host
    user, password = (quote(part or "", safe="") for part in (address.username, address.password))
    before = f"{user}:{password}@" if user or password else ""
    return f"{scheme}://{before}{f'[{name}]' if ':' in name else name}:{port}/{address.database}"


def _tls(settings: Settings) -> dict[str, Any]:
    trusted = {"ssl_ca_data": settings.redis_ca} if settings.redis_ca else {}
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **trusted}


def _to_sentinels(address: Address, settings: Settings) -> dict[str, Any]:
    password = settings.sentinel_password.reveal()
    return {
        **_TIMEOUTS,
        **({"password": password} if password else {}),
        **({"ssl": True, **_tls(settings)} if address.tls else {}),
    }

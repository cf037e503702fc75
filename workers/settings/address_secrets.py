"""What is secret in an address: its password, and the values of its query."""

from __future__ import annotations

from urllib.parse import unquote, unquote_plus

#: What libpq takes in a query (PostgreSQL's documentation, "Parameter Key Words"), and the one name that an address of
#: Redis may have there, ``ssl_cert_reqs``: nobody's secrets. Their usual values are words such as ``require``, which
#: would be struck out of every text.
_INNOCENT = frozenset(
    {
        "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname",
        "fallback_application_name", "gssencmode", "gsslib", "host", "hostaddr", "keepalives",
        "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts",
        "max_protocol_version", "min_protocol_version", "options", "port", "replication", "require_auth",
        "service", "ssl_cert_reqs", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcertmode",
        "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslmode", "sslnegotiation", "sslrootcert",
        "sslsni", "target_session_attrs", "tcp_user_timeout", "user",
    }
)  # fmt: skip
_SHORTEST = 4  # shorter ones would be found in innocent words


def secrets_in(url: str) -> set[str]:
    """Each as it is written and as it is meant. Never raises: an address that is wrong may hold a secret, too."""
    scheme, _, rest = url.partition("://")
    before, _, query = rest.partition("#")[0].partition("?")
    web = scheme.lower().startswith("http")
    if scheme in {"sqlite", "file"}:  # whoever may open the file needs no secret
        return set()
    found: set[str] = set()
    for credentials in {before.rpartition("@")[0], before.partition("/")[0].rpartition("@")[0]}:
        password = credentials.partition(":")[2]
        found |= {password, unquote(password)}
    if web:
        found.add(query)
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not value:  # a key alone, as some endpoints want it
            name, value = "", name
        if len(value) >= _SHORTEST and (web or unquote_plus(name).strip().lower() not in _INNOCENT):
            found |= {value, unquote(value), unquote_plus(value)}
    return found - {""}

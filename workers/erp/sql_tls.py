"""How a connection to PostgreSQL is kept from others' eyes: verified TLS to every machine but this one.

libpq's own default (``sslmode=prefer``) encrypts if the other side likes to and asks nobody who it is: the password
and the orders go to whoever answers at that address.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.settings.in_clear import is_here

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

VERIFIED = "verify-full"


def arguments(url: URL) -> dict[str, Any]:
    """What libpq is given of an address: several hosts, ``host=`` and ``hostaddr=`` in the query included."""
    dialect: Any = url.get_dialect()()
    given: dict[str, Any] = dialect.create_connect_args(url)[1]
    return given


def elsewhere(url: URL, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The other machines that libpq may speak to: by the address, and by libpq's variables where that is silent.

    A service (``pg_service.conf``) may lead anywhere.
    """
    given = arguments(url)
    host = str(given.get("host") or environ.get("PGHOST") or "")
    addresses = str(given.get("hostaddr") or environ.get("PGHOSTADDR") or "")
    # one by one: an address goes before the name, which is then for the certificate alone
    reached = [
        address or name for name, address in zip_longest(host.split(","), addresses.split(","), fillvalue="")
    ]
    found = [one for one in reached if one and not one.startswith(("/", "@")) and not is_here(one)]
    service = given.get("service") or environ.get("PGSERVICE")
    return [*found, f"service {service}"] if service else found


def unverified(
    url: URL, allowed: Callable[[str], bool], environ: Mapping[str, str] = os.environ
) -> list[str]:
    """The other machines that would be spoken to without verified TLS, because each of them is ``allowed``.

    ``ValueError``, without quoting the address, if one is not allowed and less than verified TLS is asked for.
    """
    others = elsewhere(url, environ)
    mode = arguments(url).get("sslmode") or environ.get("PGSSLMODE")
    if not others or mode == VERIFIED:
        return []
    if all(allowed(one) for one in others):
        return others
    if mode:
        raise ValueError(
            f"leads to another machine with less than sslmode={VERIFIED}, so whoever answers there would get the"
            f" password: write sslmode={VERIFIED} or nothing, in ERP_URL and PGSSLMODE (sslrootcert=FILE names a"
            " signer of your own; ALLOW_INSECURE_HTTP allows it without)"
        )
    return []


def options(
    url: URL, allowed: Callable[[str], bool], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What libpq must be told besides the address. ``ValueError`` as :func:`unverified`."""
    if not elsewhere(url, environ) or unverified(url, allowed, environ):
        return {}
    return {"sslmode": VERIFIED, **_signers(url, environ)}


def _signers(url: URL, environ: Mapping[str, str]) -> dict[str, str]:
    """Whom to trust if nobody says so: the same as for https. libpq knows no one, not even the system's."""
    from workers.net.transport import ca_file  # noqa: PLC0415 - only who speaks to another machine needs it

    own = Path("~/.postgresql/root.crt").expanduser()
    if arguments(url).get("sslrootcert") or environ.get("PGSSLROOTCERT") or own.exists():
        return {}
    return {"sslrootcert": ca_file()}

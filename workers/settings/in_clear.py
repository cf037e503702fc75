"""To whom anything may be sent without TLS: to this machine, and to the hosts that ALLOW_INSECURE_HTTP names."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

#: A mistyped switch must not be taken for the name of a host.
_WORDS = frozenset({"yes", "no", "true", "false", "on", "off", "none", "all", "*"})


def is_here(host: str | None) -> bool:
    """Whether a host is certainly this machine: ``localhost`` or a loopback address, however it is written.

    No name is looked up: whoever answers for names could say anything. So a name that this machine has
    is another machine's until it is written as 127.0.0.1.
    """
    name = (host or "").strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        # what the system's resolver takes for an address, too: 127.1
        if not re.fullmatch(r"[0-9a-fx]+(\.[0-9a-fx]+){1,3}", name):
            return False
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, ValueError):
            return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


@dataclass(frozen=True, slots=True)
class InClear:
    """``anywhere``: to every host; else to ``hosts``, in small letters. To this machine always."""

    anywhere: bool = False
    hosts: frozenset[str] = frozenset()

    def to(self, host: str | None) -> bool:
        """Whether that host may be spoken to without TLS."""
        return self.anywhere or is_here(host) or (host or "").strip("[]").lower() in self.hosts


def parse(text: str) -> InClear:
    """ALLOW_INSECURE_HTTP: 0, 1, or names of hosts."""
    if text in {"0", "1"}:
        return InClear(anywhere=text == "1")
    hosts = frozenset(part.strip().strip("[]").lower() for part in text.split(",") if part.strip())
    if not hosts or hosts & _WORDS or not all(re.fullmatch(r"[a-z0-9._:-]+", host) for host in hosts):
        raise ValueError(f"must be 0 or 1, or names of hosts such as valkey,postgresql, not {text!r}")
    return InClear(hosts=hosts)

"""Who may ask for what: the tokens of the front door, as ``WEB_TOKENS`` writes them.

    WEB_TOKENS=<token>[:<scope>+<scope>][@<account>],<token>…

A token without scopes has all of them; one without an account may ask for every store of the settings.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

#: What a token may be allowed: to look, to send commands, to do again what was given up.
READ, COMMAND, OPERATE = "read", "command", "operate"
SCOPES: Final = (READ, COMMAND, OPERATE)
SHORTEST = 16
# what a Bearer token may consist of (RFC 6750), so that : and @ are free to end it
_ENTRY = re.compile(
    r"(?P<token>[A-Za-z0-9\-._~+/]+=*)(?::(?P<scopes>[a-z+]+))?(?:@(?P<account>[A-Za-z0-9-]+))?"
)


@dataclass(frozen=True, slots=True)
class Token:
    """What the holder of one token may do. The token itself is not kept, only its digest."""

    digest: bytes
    scopes: frozenset[str] = frozenset(SCOPES)
    account: str | None = None

    @property
    def name(self) -> str:
        """A name that tells tokens apart and gives none away, for logs and stories."""
        return f"token {self.digest.hex()[:8]}"


def parse(text: str) -> tuple[Token, ...]:
    """Read ``WEB_TOKENS``; ValueError tells which entry is wrong, by its place and never by its text."""
    found: list[Token] = []
    for place, entry in enumerate((entry.strip() for entry in text.split(",")), 1):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(
                f"entry {place} must be TOKEN, TOKEN:SCOPE+SCOPE or TOKEN:SCOPE@ACCOUNT, the token of letters, "
                "digits and - . _ ~ + / ="
            )
        if len(match["token"]) < SHORTEST:
            raise ValueError(
                f"entry {place} has a token of less than {SHORTEST} characters: openssl rand -hex 24 makes one"
            )
        scopes = frozenset(match["scopes"].split("+") if match["scopes"] else SCOPES)
        if scopes - set(SCOPES):
            raise ValueError(f"entry {place} has a scope that there is not; there are {', '.join(SCOPES)}")
        found.append(Token(digest_of(match["token"]), scopes, match["account"]))
    if len({token.digest for token in found}) < len(found):
        raise ValueError("has one token twice")
    return tuple(found)


def digest_of(token: str) -> bytes:
    """What a token is compared by: of one length, whatever is presented."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def find(tokens: tuple[Token, ...], presented: str) -> Token | None:
    """The token that was presented, or None; every one is compared, in constant time."""
    digest, found = digest_of(presented), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def secrets_in(text: str) -> set[str]:
    """The tokens of ``WEB_TOKENS`` themselves, for whoever must keep them out of the log."""
    return {match["token"] for entry in text.split(",") if (match := _ENTRY.match(entry.strip()))}

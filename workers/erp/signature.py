"""Signatures as Standard Webhooks defines them: HMAC-SHA256 over ``id.timestamp.body``, in base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = "whsec_"
_ASYMMETRIC = ("whsk_", "whpk_")


def keys_of(secrets: str) -> tuple[bytes, ...]:
    """The keys in a text of one or several secrets, separated by spaces; ValueError says what is wrong.

    ``whsec_`` and base64 is the form of Standard Webhooks. Any other text is a key as it stands.
    """
    return tuple(_key(secret) for secret in secrets.split())


def _key(secret: str) -> bytes:
    if secret.startswith(_ASYMMETRIC):
        raise ValueError("is a key pair's half (whsk_, whpk_), which is not supported: give a whsec_ secret")
    if not secret.startswith(_PREFIX):
        return secret.encode()
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("starts with whsec_, but what follows is not base64")
    return key


def message_id(key: str) -> str:
    """A ``webhook-id`` that is the same over every repeat. The standard forbids full stops in it, keys have them."""
    return "msg_" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def headers(keys: Iterable[bytes], identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; one signature a key, so that the receiver can change its secret at leisure."""
    content = f"{identity}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }

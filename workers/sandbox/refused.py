"""What VTEX answers when it does not do what was asked."""

from __future__ import annotations


class Refused(Exception):
    """An error of VTEX's; ``code`` is its own, or "1" where its reference names none."""

    def __init__(self, status: int, message: str, code: str = "1") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def text_of(body: dict[str, object], name: str, *, empty: bool = False) -> str:
    """Return a field that must be a text."""
    value = body.get(name)
    if not isinstance(value, str) or not (value or empty):
        raise Refused(400, f"The {name} field is required")
    return value


def object_of(body: object) -> dict[str, object]:
    """Return a body that must be a JSON object."""
    if not isinstance(body, dict):
        raise Refused(400, "The body must be a JSON object")
    return body


def whole(value: object) -> bool:
    """Say whether this is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)

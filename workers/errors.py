"""Every way in which work can fail, in one tree.

    OrderLinkError
    ├── Retryable            try again later
    │   ├── RateLimited      the other side said 429 (or our own pace says wait)
    │   ├── Unavailable      nothing happened: no connection, 5xx on a read, an answer that is none
    │   ├── NotYet           the order is not in a state for it yet
    │   ├── OutcomeUnknown   it may have happened: look before doing it again
    │   └── AccessDenied     401/403: nothing is wrong with the order; the whole account pauses
    │       └── SinkDenied   the same at the ERP's door: the sink pauses
    └── Permanent            trying again unchanged cannot help
        ├── Rejected         the other side refused it (400, 413, 422)
        │   └── NotFound     the other side does not know it (404)
        ├── Invalid          we refuse it: what we were given does not make sense
        └── Conflict         409: the order is in another state than the step needs

What happens next is decided by :mod:`workers.policy`, never at the place where an error is raised.
A message is for an operator: it names the call and what was answered, and never holds a credential,
a personal datum or a whole body.
"""

from __future__ import annotations


class OrderLinkError(Exception):
    """The root. ``status`` is the HTTP status, if one was answered; ``code`` the other side's own code."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Retryable(OrderLinkError):
    """Try again later; ``after`` is how many seconds the other side asked us to wait, if it did.

    ``scope`` is whose trouble it is: ``vtex``, or ``erp``.
    """

    scope = "vtex"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.after = after


class RateLimited(Retryable):
    """429, or our own pace: the account must wait, not this order alone."""


class Unavailable(Retryable):
    """It did not happen, and that is certain or does not matter (a read)."""


class NotYet(Retryable):
    """The order will be in the right state later."""


class OutcomeUnknown(Retryable):
    """A write without a readable answer: it may have had its effect."""


class AccessDenied(Retryable):
    """401 or 403: wrong credentials or a missing permission. Its ``scope`` pauses."""


class SinkDenied(AccessDenied):
    """The ERP's database or endpoint does not let us in: wrong credentials, no permission, no table."""

    scope = "erp"


class Permanent(OrderLinkError):
    """Trying again unchanged cannot help."""


class Rejected(Permanent):
    """The other side refused this one."""


class NotFound(Rejected):
    """404: the other side does not know it (for an order from the feed: not yet, perhaps)."""


class Invalid(Permanent):
    """What we were given does not make sense."""


class Conflict(Permanent):
    """409: the order is in another state than the step needs."""

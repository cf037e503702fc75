"""Texts that travel to VTEX and come back: one form in which they are sent, and one way to recognize them.

On their way through gateways and into VTEX's documents texts are trimmed, their blanks and line breaks folded, their
accents composed or taken apart, and long ones cut. So a text is brought into its normal form once, before it is sent,
and whatever VTEX shows is brought into the same form before the two are compared. Lenient reading (a value of a wrong
type is None) is for looking, and never for comparing or writing back.
"""

from __future__ import annotations

import unicodedata

#: What is shorter is compared whole: the beginning of a short text may be another text.
SHORTEST_CUT = 30
#: What those who cut a text may put in the place of its end.
_ELLIPSIS = " .…"


def normal(text: str) -> str:
    """The text with composed accents (NFC), each run of blanks, tabs and line breaks as one blank, and trimmed."""
    return unicodedata.normalize("NFC", " ".join(unicodedata.normalize("NFC", text).split()))


def same(ours: str, shown: str) -> bool:
    """Whether VTEX shows our text, whole or cut.

    Two texts are only taken for one if they are equal in their normal form, letter by letter and case by case, or if
    the one that is shown is the beginning of ours and at least ``SHORTEST_CUT`` characters long.
    """
    ours, shown = normal(ours), normal(shown)
    if ours == shown:
        return True
    cut = shown.rstrip(_ELLIPSIS)
    # a cut may go through a letter and its accent
    return len(cut) >= SHORTEST_CUT and (
        ours.startswith(cut)
        or unicodedata.normalize("NFD", ours).startswith(unicodedata.normalize("NFD", cut))
    )

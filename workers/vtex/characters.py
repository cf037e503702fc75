"""Which characters a text of an ERP may have: forms and web pages leave more in it than anybody sees.

- Blanks of every kind (no-break, narrow, of a digit's width) become plain ones.
- What is invisible and joins nothing (soft hyphens, zero-width blanks, marks of direction) is left out.
- Joined emoji, their variations and flags pass, and so do the joiners of scripts that need them.
- Control characters are refused, and so are those that turn the direction of what follows: with them a text reads
  otherwise than it is (Unicode's Technical Report 36, "Bidirectional Text Spoofing").
"""

from __future__ import annotations

import re
import unicodedata

_BREAKS = {"\r": "\r", "\n": "\n", "\t": "\t", "\u2028": "\n", "\u2029": "\n"}
#: A joiner between two characters that are not ASCII, and the region of a flag (England's, for example).
_JOINED = re.compile(
    r"(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])|(?<=\U0001f3f4)[\U000e0020-\U000e007e]{2,6}\U000e007f"
)
_INVISIBLE = frozenset(
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\ufeff"
    "\u2060\u2061\u2062\u2063\u2064\u206a\u206b\u206c\u206d\u206e\u206f"
)
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def cleaned(text: str, *, lines: bool) -> str:
    """The text as it is sent, trimmed; with ``lines`` it may have line breaks and tabs.

    ValueError names the character that it cannot have, and its place, counted from 1.
    """
    if text.isprintable():  # most are, and no blank but the plain one is
        return text.strip()
    begin = len(text) - len(text.lstrip())
    text = text.rstrip()
    kept = {place for match in _JOINED.finditer(text) for place in range(match.start(), match.end())}
    found = []
    for place, char in enumerate(text[begin:], begin):
        if char.isprintable() or place in kept:
            found.append(char)
        elif unicodedata.category(char) == "Zs":
            found.append(" ")
        elif lines and char in _BREAKS:
            found.append(_BREAKS[char])
        elif problem := _problem(char):
            raise ValueError(f"has {problem} (U+{ord(char):04X}) at position {place + 1}; take it out")
        elif char not in _INVISIBLE:
            found.append(char)
    return "".join(found).strip()


def _problem(char: str) -> str | None:
    """What is wrong with a character. What Python's Unicode does not know yet passes: there are new emoji each year."""
    code, category = ord(char), unicodedata.category(char)
    if char in _BREAKS:
        return "a tab" if char == "\t" else "a line break"
    if char in _TURNING:
        return "a character that turns the direction of what follows"
    if 0xE0000 <= code <= 0xE007F:  # noqa: PLR2004 - tags outside of a flag: a text that nobody sees
        return "an invisible character"
    if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF or category == "Cs":  # noqa: PLR2004 - Unicode's own
        return "what is no character"
    return "a control character" if category == "Cc" else None

"""The scripts that move the ledgers: each file in ``lua/``, after the words of ``common.lua`` that it uses.

Redis makes a script's functions anew at each call, so that words which a script has no use for cost it time.
"""

from __future__ import annotations

import re
from pathlib import Path

_LUA = Path(__file__).parent / "lua"
_COMMENT = re.compile(r"\s*--.*")
_NAMES = re.compile(r"local (?:function )?(\w+(?:, \w+)*)")


def scripts() -> dict[str, str]:
    """The text of each script, by its name."""
    texts = {path.stem: _COMMENT.sub("", path.read_text()) for path in sorted(_LUA.glob("*.lua"))}
    first, rest = texts.pop("common").split("\n\n", 1)
    words = re.split(r"^(?=local )", rest, flags=re.MULTILINE)[1:]
    return {name: first + "\n" + _with_words(words, text) for name, text in texts.items()}


def _with_words(words: list[str], text: str) -> str:
    for word in reversed(words):  # a word knows only those before it
        names = _NAMES.match(word)[1].replace(", ", "|")  # type: ignore[index]
        if re.search(rf"\b({names})\b", text):
            text = word + text
    return text

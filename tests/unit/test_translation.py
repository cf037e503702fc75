"""README.pt-BR.md says what README.md says: the same parts, the same commands, the same rows in its tables."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH, PORTUGUESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.pt-BR.md"))
CODE = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def outline(text):
    """The depth of each heading."""
    return [len(marks) for marks in re.findall(r"^(#+) ", CODE.sub("", text), re.MULTILINE)]


def programs(text):
    """What is run or shown; remarks are translated, and the drawing's words."""
    blocks = [body for kind, body in CODE.findall(text) if "┌" not in body]
    return [re.sub(r" +# .*", "", body) for body in blocks]


def names(text):
    """What is in `code` in the first column of each table; sentences around it are translated."""
    rows = re.findall(r"^ *\| (.*?) \|", CODE.sub("", text), re.MULTILINE)
    return [re.findall(r"`[^`]+`", row) for row in rows]


def links(text):
    """Where it sends its readers; places in this very page have translated names."""
    return sorted(set(re.findall(r"\]\(([^)#]+)", text)) - {"README.md", "README.pt-BR.md"})


@pytest.mark.parametrize("what", [outline, programs, names, links], ids=lambda what: what.__name__)
def test_the_translation_has_all_of_it(what):
    assert what(PORTUGUESE) == what(ENGLISH)


def test_numbers_are_the_same():
    """Measured figures in prose, too: with comma and point as each language has them."""

    def figures(text):
        return sorted(set(re.findall(r"\d[\d.,]*\d|\d", CODE.sub("", text).replace(",", "."))))

    assert figures(PORTUGUESE) == figures(ENGLISH)


@pytest.mark.parametrize("text", [ENGLISH, PORTUGUESE], ids=["en", "pt-BR"])
def test_places_in_the_page_exist(text):
    titles = re.findall(r"^#+ (.*)", CODE.sub("", text), re.MULTILINE)
    places = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= places

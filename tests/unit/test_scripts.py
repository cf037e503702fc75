"""Each script of the ledgers gets the words of common.lua that it uses, and no others."""

import re
from pathlib import Path

import pytest

import workers.scripts

SCRIPTS = workers.scripts.scripts()
COMMON = (Path(workers.scripts.__file__).parent / "lua" / "common.lua").read_text()
FUNCTIONS = re.findall(r"^local function (\w+)", COMMON, re.MULTILINE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_what_it_uses_and_no_more(name):
    text = SCRIPTS[name]
    assert len(FUNCTIONS) > 30
    for function in FUNCTIONS:
        declared = text.find(f"local function {function}(")
        used = re.search(rf"(?<!local function )\b{function}\b", text)
        assert (declared >= 0) == bool(used), function
        assert not used or declared < used.start(), function


def test_what_a_word_needs_comes_with_it():
    assert "local function seconds(" in SCRIPTS["take_acks"]
    assert "local STATS" in SCRIPTS["defer"]
    assert "local CTELL" not in SCRIPTS["defer"]
    assert "--" not in SCRIPTS["defer"]

"""The console without anything around it: wrong settings, wrong usage, and a README that tells the truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from workers import settings
from workers.cli import console, main
from workers.demo import OURS
from workers.settings.reader import Environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECRETS = ("vtexappkey-SECRET", "TOKENSECRET", "hunter2")
#: Every command that reads the settings, with arguments that are all right.
ARGUMENTS = {
    "order": ["1234-01"],
    "delete": ["--yes"],
    "replay": ["1234-01"],
    "redeliver": ["1234-01"],
    "command": ["some-id"],
    "invoice": ["1234-01", "../file.json"],
    "tracking": ["1234-01", "../file.json"],
    "cancel": ["1234-01"],
    "forget": ["1234-01", "--yes"],
    "change": ["1234-01", "../file.json"],
    "hook configure": ["https://orders.example.com"],
}
WITHOUT_SETTINGS = {"demo", "sandbox", "bench", "check"}  # check tells of them in its own form


def commands():
    """Every command, groups taken apart."""
    for name, command in console.commands.items():
        if isinstance(command, click.Group):
            yield from (
                [name, inner, *ARGUMENTS.get(f"{name} {inner}", ARGUMENTS.get(inner, []))]
                for inner in command.commands
            )
        else:
            yield [name, *ARGUMENTS.get(name, [])]


@pytest.fixture
def nothing_set(monkeypatch, tmp_path):
    """An empty working directory, and no setting in the environment."""
    (tmp_path / "file.json").write_text("{}")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)


@pytest.fixture
def call(nothing_set, monkeypatch, capfd):
    """Runs the console's entry point: (exit code, stdout, stderr)."""

    def call(*arguments, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["vtexorders", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return end.value.code or 0, out, err

    return call


@pytest.mark.parametrize(
    "arguments",
    [c for c in commands() if c[0] not in WITHOUT_SETTINGS],
    ids=lambda words: " ".join(words[:2]),
)
def test_wrong_settings_are_told_all_at_once_by_every_command(call, arguments, tmp_path):
    code, out, err = call(
        *arguments,
        VTEX_APP_KEY=SECRETS[0],
        VTEX_APP_TOKEN=f"{SECRETS[1]} with a space",
        ERP_URL=f"postgresql+psycopg://erp:{SECRETS[2]}@host",
        FEED_POLL_SECONDS="often",
    )
    assert code == 2
    assert out == ""
    assert err.startswith("The settings need attention:\n")
    credentials = ("VTEX_APP_TOKEN has characters", "ERP_URL names no database")
    if arguments[0] in {"web", "flower"}:  # they do not read them
        assert not any(problem in err for problem in credentials)
        credentials = ()
    for problem in ("VTEX_ACCOUNT is missing", *credentials, "FEED_POLL_SECONDS must be a number"):
        assert err.count(f"\n  - {problem}") == 1, err
    for secret in SECRETS:
        assert secret not in err
    assert "Traceback" not in err
    assert list((tmp_path / "here").iterdir()) == []  # nothing was begun


@pytest.mark.parametrize("arguments", [["nosuch"], ["order"], ["feed", "nosuch"], ["status", "--nosuch"]])
def test_wrong_usage_is_exit_2(call, arguments):
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert "Usage: vtexorders" in err


@pytest.mark.parametrize(
    "arguments", [[], *({tuple(c[: 1 + (c[0] in ("feed", "hook"))]) for c in commands()})]
)
def test_every_command_has_help(call, arguments):
    code, out, _ = call(*arguments, "--help")
    assert code == 0
    assert out.startswith("Usage: vtexorders")


#: Those that run until they are stopped, and one whose --json names a file.
RUNNING = {"up", "worker", "beat", "web", "flower", "sandbox", "bench"}


def leaves(group=console, path=()):
    """Every command with its path, groups taken apart."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_that_answers_has_json():
    answers = {path: command for path, command in leaves() if path[0] not in RUNNING}
    assert len(answers) > 20
    for path, command in answers.items():
        flags = [one for one in command.params if "--json" in one.opts]
        assert [one.is_flag for one in flags] == [True], path


def test_help_is_quick_because_commands_import_what_they_need():
    code = (
        "import sys, workers.cli; print([m for m in ('celery', 'sqlalchemy', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "celery" not in done.stdout
    assert "sqlalchemy" not in done.stdout


# The README


def _section(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_readme_explains_every_setting_and_no_other(nothing_set, monkeypatch):
    asked = set()

    def noting(real):
        def look(self, name):
            asked.add(name)
            return real(self, name)

        return look

    for way in ("_find", "as_written"):
        monkeypatch.setattr(Environment, way, noting(getattr(Environment, way)))
    with pytest.raises(settings.SettingsError):
        settings.load()
    rows = re.findall(r"^\| `([A-Z_]+)` \|", _section("Settings"), re.MULTILINE)
    assert sorted(rows) == sorted(asked), "the table of settings in README.md and settings.load() differ"


def test_the_readme_lists_every_command_and_no_other():
    told = set()
    for cell in re.findall(r"^\| (`.*?) \| ", _section("Commands"), re.MULTILINE):
        told |= {words.split()[0] for words in re.findall(r"`([a-z][^`]*)`", cell)}
    assert told == set(console.commands)


def test_the_readme_calls_no_command_that_does_not_exist():
    for name, inner in re.findall(r"vtexorders ([a-z]+)(?: ([a-z]+))?", README):
        command = console.commands[name]
        if isinstance(command, click.Group):
            assert inner in command.commands


@pytest.mark.parametrize(
    "page", ["README.md", "deploy/runbook.md", "deploy/README.md", "docs/erp.md", "SECURITY.md"]
)
def test_no_page_gives_an_option_that_does_not_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    given = re.findall(r"vtexorders ((?:[a-z]+ )*)([^`\n]*--[^`\n]*)", text)
    for names, rest in given:
        command, words = console, names.split()
        while words and isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        known = {option for param in command.params for option in param.opts} | {"--help", "--version"}
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", rest.partition(" #")[0])) <= known, (page, names, rest)


def test_the_shell_completes_commands_and_options(call):
    words = {"COMP_WORDS": "vtexorders sta", "COMP_CWORD": "1", "_VTEXORDERS_COMPLETE": "bash_complete"}
    assert call(**words)[1] == "plain,status\n"
    code, out, _ = call(**words | {"COMP_WORDS": "vtexorders status --w", "COMP_CWORD": "2"})
    assert (code, out) == (0, "plain,--watch\n")
    assert "complete -o nosort -F" in call(_VTEXORDERS_COMPLETE="bash_source")[1]


def test_the_example_of_an_env_file_is_one(nothing_set, monkeypatch, tmp_path):
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / "here" / ".env").write_text(example.replace("VTEX_ACCOUNT=\n", "VTEX_ACCOUNT=mystore\n"))
    for name in ("VTEX_APP_KEY", "VTEX_APP_TOKEN"):
        monkeypatch.setenv(name, "filled-in")
    assert settings.load().account().name == "mystore"


@pytest.mark.parametrize("words", [["order", b"\xff"], ["pause", "--why", b"n\xe3o"]])
def test_an_argument_that_is_no_text_is_one_sentence(words):
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", *words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    place = len(words)
    assert (done.returncode, done.stderr) == (2, f"argument {place} is not text in UTF-8\n")

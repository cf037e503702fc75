"""``make audit``: known weaknesses of the pinned packages (pip-audit) and of the images (images.toml, at osv.dev).

Exit 1 for a known weakness. Exit 2 if nobody answered (no network, an index without the list): nothing was audited.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

IMAGES = Path(__file__).with_name("images.toml")
OSV = "https://api.osv.dev/v1/query"


@dataclass
class Report:
    """``of`` things were looked up, ``audited`` of them somebody knew about."""

    what: str
    of: int = 0
    audited: int = 0
    weak: list[str] = field(default_factory=list)
    why_not: str = ""

    def lines(self) -> Iterable[str]:
        """What a person should read."""
        yield from self.weak
        rest = f" ({self.why_not})" if self.why_not else ""
        yield f"{self.audited} of {self.of} {self.what} were audited, {len(self.weak)} weaknesses.{rest}"


def main() -> int:
    """Say what was found, and of what nobody could tell."""
    return verdict([packages(sys.argv[1]), images(tomllib.loads(IMAGES.read_text())["image"], ask_osv)])


def verdict(reports: list[Report]) -> int:
    """Print them; the exit code."""
    for report in reports:
        print(*report.lines(), sep="\n")
    if any(report.weak for report in reports):
        return 1
    if not any(report.audited for report in reports):
        print("NOTHING WAS AUDITED: run it where the network answers.")
        return 2
    return 0


def packages(requirements: str) -> Report:
    """What pip-audit says of a pinned requirements file."""
    tool = Path(sys.executable).parent / "pip-audit"
    options = ["--disable-pip", "--require-hashes", "--timeout", "10", "--format", "json", "-r", requirements]
    done = subprocess.run([tool, *options], capture_output=True, text=True, check=False)
    report = Report("packages")
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        report.why_not = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return report
    report.of = len(found)
    known = [one for one in found if "skip_reason" not in one]
    report.audited = len(known)
    if len(known) < len(found):
        report.why_not = "the index here has no list of vulnerabilities for the others"
    for one in known:
        for weakness in one.get("vulns", []):
            fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
            report.weak.append(f"{one['name']} {one['version']}: {weakness['id']}, fixed in {fixed}")
    return report


def images(listed: list[dict[str, str]], ask: Callable[[str, str], list[str]]) -> Report:
    """What ``ask`` (name, version → ids of weaknesses; OSError) says of each image, and whether one is too old.

    That one is too old is known without a network; it is no audit.
    """
    report = Report("images", of=len(listed))
    for one in listed:
        version = version_of(one["tag"])
        if numbers(version) < numbers(one["least"]):
            report.weak.append(f"{one['name']} {version}: older than {one['least']}, which mended weaknesses")
        try:
            report.weak += [f"{one['name']} {version}: {found}" for found in ask(one["osv"], version)]
        except (OSError, ValueError) as error:
            report.why_not = f"osv.dev: {error}"
        else:
            report.audited += 1
    return report


def ask_osv(name: str, version: str) -> list[str]:
    """The ids of the weaknesses that osv.dev knows of a version."""
    question = {"package": {"ecosystem": "Bitnami", "name": name}, "version": version}
    request = urllib.request.Request(OSV, json.dumps(question).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return [one["id"] for one in json.load(answer).get("vulns", [])]


def version_of(tag: str) -> str:
    """``8.1.9-alpine`` → ``8.1.9``."""
    found = re.match(r"v?([0-9]+(?:\.[0-9]+)+)", tag)
    if not found:
        raise SystemExit(f"{IMAGES.name}: {tag} is no version")
    return found[1]


def numbers(version: str) -> list[int]:
    """For comparing."""
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    sys.exit(main())

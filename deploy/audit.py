"""``make audit``: pip-audit over a pinned requirements file. Exit 1 for a known vulnerability.

Where nobody answers (no network, an index without the list) nothing was audited: that is said, and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Say what pip-audit found, and of how many packages it could not tell."""
    command = [
        Path(sys.executable).parent / "pip-audit",
        "--disable-pip",
        "--require-hashes",
        "--timeout",
        "10",
    ]
    done = subprocess.run(
        [*command, "--format", "json", "-r", sys.argv[1]], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"NOTHING WAS AUDITED: {reason}")
        return 0
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    found = 0
    for one in packages:
        for weakness in one.get("vulns", []):
            found += 1
            fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
            print(f"{one['name']} {one['version']}: {weakness['id']}, fixed in {fixed}")
    if len(skipped) == len(packages):
        print("NOTHING WAS AUDITED: the index here has no list of vulnerabilities. Run it where one answers.")
        return 0
    print(
        f"{len(packages) - len(skipped)} of {len(packages)} packages were audited, {found} vulnerabilities."
    )
    if skipped:
        print(f"The index here has no list of vulnerabilities for {len(skipped)} of them.")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())

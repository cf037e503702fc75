"""The wheel that an image is made of has everything that the checkout has."""

import subprocess
import sys
import zipfile

from .conftest import ROOT


def test_the_wheel_carries_every_file_of_the_packages(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "workers", "tasks"):  # what deploy/Dockerfile copies
        subprocess.run(["cp", "-r", ROOT / name, source], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("workers", "tasks")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert carried == wanted

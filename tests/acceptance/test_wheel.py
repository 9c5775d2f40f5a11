"""The wheel is whole, and works where there is no checkout."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).parents[2]
NEEDED_SETUPTOOLS = 77  # as in pyproject.toml
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
KINDS = {".py", ".sql", ".toml", ".jinja", ".html", ".css", ".js"}


def run(*command: object, **variables: str) -> str:
    done = subprocess.run(
        list(map(str, command)), env={**os.environ, **variables}, capture_output=True, text=True, cwd="/", timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this checkout: what an earlier build left in build/ would find its way into it."""
    if int(version("setuptools").partition(".")[0]) < NEEDED_SETUPTOOLS:
        pytest.skip("The wheel is built by setuptools 77 or newer: pip install -c constraints.txt -e '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "source", ignore=left_out)
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "source")
    return next(folder.glob("*.whl"))


def test_the_wheel_has_every_file_of_every_package(wheel: Path) -> None:
    packages = [*(path.parent for path in ROOT.glob("*/__init__.py")), ROOT / "sql"]
    files = {
        f for package in packages for f in package.rglob("*") if f.suffix in KINDS and "__pycache__" not in f.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        missing = {f"aisle/{f.relative_to(ROOT)}" for f in {ROOT / "cli.py", *files}} - set(archive.namelist())
    assert not missing, f"Add to packages or package-data in pyproject.toml: {sorted(missing)}"


def test_the_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path, empty_url: str) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python, aisle = tmp_path / "venv/bin/python", tmp_path / "venv/bin/aisle"
    run(*PIP, "--python", python, "install", "--no-deps", wheel)
    # Everything else comes from this environment. A .pth file in a folder that a .pth file adds is not read, so the
    # checkout, which is installed as one, stays out.
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    assert run(python, "-c", "import aisle.db; print(aisle.db.__file__)").startswith(str(site))

    assert "Usage: aisle" in run(aisle, "--help")
    assert "revision" in run(aisle, "migrate", AISLE_DATABASE_URL=empty_url)
    assert run(aisle, "models", "--json", AISLE_DATABASE_URL=empty_url) == "[]\n"
    with psycopg.connect(empty_url) as connection:
        connection.execute("create table products (id bigint primary key, name text)")
        row = connection.execute("select aisle.attach_items('products', 'id', 'name')").fetchone()
        assert row is not None
        assert row[0].startswith("Attached")

"""If this breaks, what was installed lacks a part, or is not what the lock file promises."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .support.sources import FOLDERS, REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the source archive and the wheel that is built of it.

    Built from a copy: what an earlier build left behind would hide a missing package.
    """
    base = tmp_path_factory.mktemp("built")
    source = base / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in (*FOLDERS, "docs", "tests"):
        shutil.copytree(REPOSITORY / folder, source / folder, ignore=ignored)
    for path in REPOSITORY.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", base / "dist", source],
        check=True,
        capture_output=True,
    )
    return base


def of_the_package(base: Path) -> set[str]:
    """Return modules, and what is not Python: markers, templates, style sheets."""
    return {
        path.relative_to(base / "source").as_posix()
        for folder in FOLDERS
        for path in (base / "source" / folder).rglob("*")
        if path.is_file()
    }


def test_wheel_and_source_archive_hold_every_module_and_all_data(built: Path) -> None:
    expected = of_the_package(built)
    assert {f"{folder}/py.typed" for folder in FOLDERS} <= expected
    (wheel,) = (built / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not {f"ta3n/{name}" for name in expected} - set(archive.namelist())
    (source,) = (built / "dist").glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    beside = {"README.md", "CITATION.cff", "CHANGELOG.md", "Makefile", "requirements.lock"}
    assert not (expected | beside | {"docs/methods.md", "tests/conftest.py"}) - names


@pytest.mark.slow
def test_wheel_runs_outside_the_repository(built: Path, tmp_path: Path) -> None:
    """Both stages, in an environment that has the dependencies and no copy of the sources."""
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    packages = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    dependencies = {sysconfig.get_path("purelib"), *(p for p in sys.path if "-packages" in p)}
    (packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)))
    (wheel,) = (built / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True, capture_output=True)

    def run(command: str, *args: object) -> str:
        line = [str(place / "bin" / command), *map(str, args)]
        result = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    where = "import ta3n.train as t; print(t.__file__)"
    found = subprocess.run([python, "-P", "-c", where], capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(place)
    assert run("ta3n-train", "--version").split()[-1] == PROJECT["version"]
    run("ta3n-datasets", "synthetic", "a", "b", "--train", 1, "--test", 1, "--jobs", 1)
    for domain in ("synthetic-a", "synthetic-b"):
        root, network = f"videos/{domain}", ("--backbone", "resnet18", "--weights", "random:0")
        frames = ("--frames", "segments:2")
        run("ta3n-extract", "--dataset", domain, "--root", root, *network, *frames)
    two = ("--source", "synthetic-a", "--target", "synthetic-b")
    quick = ("--epochs", 1, "--segments", 2, "--method", "dan")
    assert "dan" in run("ta3n-train", *two, *quick).lower()
    run("ta3n-report", "runs", "--no-pictures")
    assert "DAN" in (tmp_path / "report" / "report.html").read_text()


def locked() -> dict[str, list[tuple[Version, str]]]:
    """Return the versions of the lock file by package, each with the condition it has."""
    found: dict[str, list[tuple[Version, str]]] = {}
    text = (REPOSITORY / "requirements.lock").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if match := re.match(r"([\w.-]+)==(\S+)( ; [^-]*)?", line):
            assert "--hash=sha256:" in line, f"no checksum: {match[1]}"
            found.setdefault(match[1], []).append((Version(match[2]), match[3] or ""))
    return found


def test_lock_file_holds_what_the_project_asks_for() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["offline"], *extras["dev"]]
    wanted += [*extras["docs"], *extras["tensorboard"], *extras["timm"]]
    versions = locked()
    for requirement in map(Requirement, wanted):
        if requirement.name == PROJECT["name"]:
            continue
        known = versions[canonicalize_name(requirement.name)]
        fits = [version in requirement.specifier for version, _ in known]
        assert any(fits) if requirement.marker else all(fits), requirement


def test_version_is_the_same_everywhere() -> None:
    assert version("ta3n") == PROJECT["version"]
    citation = (REPOSITORY / "CITATION.cff").read_text()
    assert f"\nversion: {PROJECT['version']}\n" in citation

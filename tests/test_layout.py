"""If this breaks, the folders are no longer independent, or the wheel lacks a part."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .support.sources import FOLDERS, REPOSITORY, sources

ALLOWED = {
    "common": {"common"},
    "datasets": {"datasets", "common"},
    "extract": {"extract", "common", "datasets"},
    "train": {"train", "common", "datasets"},
}
# What a folder may take from another one by name, nothing else of it: its public names.
PUBLIC = {"train": {"ta3n.extract": {"ClipFeatures", "extract_features"}}}
# Third-party packages that one module alone may touch.
RESERVED = {"h5py": {"common/store.py"}, "av": {"common/video.py"}}


def imported(path: Path) -> set[str]:
    """Return the full names of modules that a file imports, also late, for more than PUBLIC."""
    names = set()
    public = PUBLIC.get(path.relative_to(REPOSITORY).parts[0], {})
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            if not {alias.name for alias in node.names} <= public.get(module, set()):
                names.add(module)
    return names


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_imports_keep_to_the_dependency_rule(path: Path) -> None:
    folder = path.relative_to(REPOSITORY).parts[0]
    for name in imported(path):
        first, *rest = name.split(".")
        assert first not in FOLDERS, f"{path} imports {name} without the ta3n. prefix"
        if first == "ta3n":
            assert rest[0] in ALLOWED[folder], f"{folder} must not import {name}"
        owners = RESERVED.get(first)
        relative = path.relative_to(REPOSITORY).as_posix()
        assert owners is None or relative in owners, f"only {owners} may import {first}"


def test_wheel_holds_every_module_and_marker(tmp_path: Path) -> None:
    """Built from a copy: what an earlier build left behind would hide a missing package."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for folder in FOLDERS:
        shutil.copytree(
            REPOSITORY / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    on_disk = {f"ta3n/{p.relative_to(REPOSITORY).as_posix()}" for p in sources()}
    markers = {f"ta3n/{folder}/py.typed" for folder in FOLDERS}
    assert on_disk | markers <= packed


def test_version_is_told_by_the_package() -> None:
    from importlib.metadata import version

    assert f'version = "{version("ta3n")}"' in (REPOSITORY / "pyproject.toml").read_text()

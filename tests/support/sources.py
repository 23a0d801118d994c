"""The source files of the four folders, and those of the tests."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("common", "datasets", "extract", "train")


def sources() -> list[Path]:
    """Return all modules of the four folders."""
    return sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))


def modules_of_tests() -> list[Path]:
    """Return all that pytest reads: modules of tests, and fixtures."""
    tests = REPOSITORY / "tests"
    return sorted(path for path in tests.rglob("*.py") if path.parent != tests / "support")

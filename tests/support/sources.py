"""The source files of the four folders and of the tests, and what they import."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("common", "datasets", "extract", "train")


@dataclass(frozen=True)
class Import:
    """An import statement's part that binds one name.

    Attributes:
        module: Full name, of a package too where a name is taken from one.
        name: What is taken from the module; empty for `import module`.
        for_types: Whether it stands under `if TYPE_CHECKING`, and is never executed.
    """

    module: str
    name: str
    for_types: bool


def sources() -> list[Path]:
    """Return all modules of the four folders."""
    return sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))


def modules_of_tests() -> list[Path]:
    """Return all that pytest reads: modules of tests, and fixtures."""
    tests = REPOSITORY / "tests"
    return sorted(path for path in tests.rglob("*.py") if path.parent != tests / "support")


def module_name(path: Path) -> str:
    """Return the full name of one of our modules, such as `ta3n.common.store`."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(("ta3n", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def room_of(path: Path) -> str:
    """Return the folder that a module lies in, such as `train/report`."""
    return path.parent.relative_to(REPOSITORY).as_posix()


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Return all that a file imports, at its top or late."""
    return tuple(_imports(ast.parse(path.read_text()), for_types=False))


def _imports(node: ast.AST, *, for_types: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, "", for_types) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        yield from (Import(module, alias.name, for_types) for alias in node.names)
    guarded = node.body if isinstance(node, ast.If) and _asks_for_types(node.test) else []
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, for_types=for_types or child in guarded)


def _asks_for_types(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def executed_imports() -> dict[Path, set[Path]]:
    """Return which modules of ours each one imports when it runs, by file."""
    by_name = {module_name(path): path for path in sources()}
    graph: dict[Path, set[Path]] = {}
    for path in sources():
        names = (
            # A name that is taken from a package may be one of its modules.
            f"{one.module}.{one.name}" if f"{one.module}.{one.name}" in by_name else one.module
            for one in imports_of(path)
            if not one.for_types
        )
        graph[path] = {by_name[name] for name in names if name in by_name}
    return graph

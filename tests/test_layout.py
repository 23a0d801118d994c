"""If this breaks, folders or rooms depend on each other."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from .support.sources import (
    FOLDERS,
    REPOSITORY,
    executed_imports,
    imports_of,
    module_name,
    modules_of_tests,
    room_of,
    sources,
)

ALLOWED = {
    "common": {"common"},
    "datasets": {"datasets", "common"},
    "extract": {"extract", "common", "datasets"},
    "train": {"train", "common", "datasets"},
}
# What stage one offers to a Python program; nothing else of it may be imported by stage two.
OFFERED = ("train", "ta3n.extract")
# Third-party packages that one module alone may touch.
RESERVED = {"h5py": "common/store.py", "av": "common/video.py"}
MOST_IN_A_ROOM = 12
# Rooms of siblings, which are all of one kind and may be any number.
SIBLINGS = {
    "datasets/builtin",
    "extract/backbones",
    "train/encoders",
    "train/losses",
    "train/methods",
    "train/report/figures",
    "train/validators",
}


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_imports_keep_to_the_dependency_rule(path: Path) -> None:
    folder = path.relative_to(REPOSITORY).parts[0]
    ours = {module_name(source) for source in sources()}
    for one in imports_of(path):
        assert not one.module.startswith("."), f"{path} imports relatively"
        first, *rest = one.module.split(".")
        assert first not in FOLDERS, f"{path} imports {one.module} without the ta3n. prefix"
        if first == "ta3n" and (folder, one.module) == OFFERED:
            assert one.name, f"{path} imports ta3n.extract as a whole"
            assert f"ta3n.extract.{one.name}" not in ours, f"{one.name} is within ta3n.extract"
        elif first == "ta3n":
            below = rest[0] if rest else one.name
            assert below in ALLOWED[folder], f"{folder} must not import {one.module}"
        owner = RESERVED.get(first)
        relative = path.relative_to(REPOSITORY).as_posix()
        assert owner in {None, relative}, f"only {owner} may import {first}"


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return all nodes that a path leads to, the start too if one leads back."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def circles_in(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Return the groups of nodes each of which leads to all others of its group."""
    reached = {node: reachable(graph, node) for node in graph}
    groups = (
        frozenset(other for other in others if node in reached[other])
        for node, others in reached.items()
    )
    return {group for group in groups if group}


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a", "f"}, "f": {"e"}}
    assert circles_in(graph) == {frozenset("bc"), frozenset("ef")}
    assert not circles_in({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Late imports count, for they hide a circle and do not undo it."""
    graph = {
        module_name(path): {module_name(other) for other in others}
        for path, others in executed_imports().items()
    }
    assert not circles_in(graph)


def test_no_rooms_import_each_other_in_a_circle() -> None:
    """A room is a folder; what lies right in one of the four folders is a room, too."""
    between = [
        (path, other)
        for path, others in executed_imports().items()
        for other in others
        if room_of(path) != room_of(other)
    ]
    graph: dict[str, set[str]] = {room_of(path): set() for path in sources()}
    for path, other in between:
        graph[room_of(path)].add(room_of(other))
    edges = [
        f"{module_name(path)} imports {module_name(other)}"
        for circle in circles_in(graph)
        for path, other in between
        if {room_of(path), room_of(other)} <= circle
    ]
    assert not edges, "\n".join(edges)


def test_no_room_is_crowded() -> None:
    counts = Counter(room_of(path) for path in sources() if path.name != "__init__.py")
    crowded = {room: count for room, count in counts.items() if count > MOST_IN_A_ROOM}
    assert crowded.keys() <= SIBLINGS, crowded


@pytest.mark.parametrize("path", modules_of_tests(), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_what_tests_share_is_in_support(path: Path) -> None:
    """A helper in a test module is found by nobody, and importing it runs that module's imports."""
    shared = [one.module.lstrip(".") for one in imports_of(path) if one.module.startswith(".")]
    assert all(name.split(".")[0] == "support" for name in shared), shared

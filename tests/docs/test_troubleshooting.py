"""If this breaks, a user looks an error up in vain, or finds another remedy than its own."""

import ast
import re
from functools import cache

import pytest

from ta3n.common import errors
from ta3n.common.errors import InterruptedRunError, Ta3nError
from ta3n.train.runs.troubles import AT_CHANCE, DEAD, EXPLODING, ONE_CLASS

from ..support.pages import PAGES, REPOSITORY

PAGE = PAGES["troubleshooting.md"]
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, Ta3nError | InterruptedRunError)
}
# Kinds of single modules.
BELOW = {"TrainingError": ("NonFiniteError",)}
MESSAGES = re.findall(r"^\| `(.+?)` \| `(\w+Error)` \|", PAGE, re.MULTILINE)


@cache
def raised() -> tuple[tuple[str, str], ...]:
    """Return the kind and the fixed words of everything that our code raises."""
    found = []
    for folder in ("common", "datasets", "extract", "train"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    found.append((node.func.id, words_in(node)))
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    # Messages that are put together before they are raised.
                    found += [(kind, words_in(node)) for kind in kinds_in(node)]
    return tuple(found)


def words_in(node: ast.AST) -> str:
    constants = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
    return " ... ".join(value for value in constants if isinstance(value, str))


def kinds_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & KINDS.keys()


def test_every_kind_is_listed_with_its_exit_code() -> None:
    listed = dict(re.findall(r"^\| `(\w+Error)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert listed == {name: str(kind.exit_code) for name, kind in KINDS.items()}


def test_every_exit_code_is_explained() -> None:
    codes = re.findall(r"^\| (\d+)(?: to \d+)? \|", PAGE, re.MULTILINE)
    assert {str(kind.exit_code) for kind in KINDS.values()} | {"0"} <= set(codes)


def test_every_kind_has_a_message_and_a_remedy() -> None:
    assert {kind for _, kind in MESSAGES} == KINDS.keys()


@pytest.mark.parametrize(("message", "kind"), MESSAGES)
def test_messages_are_those_of_the_program(message: str, kind: str) -> None:
    parts = [part.strip() for part in message.split("...") if part.strip()]
    texts = [text for name, text in raised() if name == kind or name in BELOW.get(kind, ())]
    assert any(all(part in text for part in parts) for text in texts), message


@pytest.mark.parametrize("kind", [AT_CHANCE, DEAD, EXPLODING, ONE_CLASS])
def test_what_is_wrong_with_a_run_without_an_error_is_listed(kind: str) -> None:
    assert f"\n| `{kind}`" in PAGE

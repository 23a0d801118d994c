"""The pages of the documentation, and what stands in them as code."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import click

from ta3n.train.epic.cli import CHECK, check_submission

REPOSITORY = Path(__file__).parents[2]
PAGES = {
    path.name: path.read_text()
    for path in (
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted((REPOSITORY / "docs").glob("*.md")),
    )
}
SHELLS = ("sh", "bash", "console")

_FENCE = re.compile(r"^( *)```([\w-]*)(.*)$")
_TITLE = re.compile(r' title="([^"]*)"')
_PREFIX = re.compile(r"^(do|exec|then|[A-Z_]+=\S*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The name of the page.
        line: Where it begins, from 1.
        language: Such as `sh`, or empty.
        mark: What the page shows above it: what it needs. Empty for what runs as it stands.
        text: Its lines.
    """

    page: str
    line: int
    language: str
    mark: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Yield all fenced blocks of a page."""
    inside: tuple[int, str, str] | None = None
    held: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence is None:
            held.append(line)
        elif inside is None:
            title = _TITLE.fullmatch(fence[3])
            assert title or not fence[3], f"{page}:{number}: what is {fence[3]!r}?"
            inside, held = (number, fence[2], title[1] if title else ""), []
        else:
            yield Block(page, *inside, "\n".join(held) + "\n")
            inside = None
    assert inside is None, f"{page}: a block is not closed"


def all_blocks(*languages: str) -> list[Block]:
    """Return all blocks of all pages, or those of some languages."""
    found = [block for page, text in PAGES.items() for block in blocks_of(page, text)]
    return [block for block in found if not languages or block.language in languages]


def prose_of(text: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def script_of(block: Block) -> str:
    """Return what a shell is to run: of a `console` block the lines behind `$ `, not the output."""
    if block.language != "console":
        return block.text
    lines, goes_on = [], False
    for line in block.text.splitlines():
        if goes_on or line.startswith("$ "):
            lines.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\")
    return "\n".join(lines) + "\n"


def our_calls(script: str) -> Iterator[list[str]]:
    """Yield the calls of our commands in a script, as words."""
    for line in script.replace("\\\n", " ").splitlines():
        # Help texts explain an example behind it: `ta3n-demo --quick   a minute`, `...  (a trial)`.
        lexer = shlex.shlex(re.sub(r" {2,}[(a-z].*$", "", line), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("();<>|&"):
                words.append(word)
                continue
            while words and _PREFIX.match(words[0]):
                words.pop(0)
            if words and Path(words[0]).name.startswith("ta3n-"):
                yield [Path(words[0]).name, *words[1:]]
            words = []


def our_commands() -> dict[str, click.Command]:
    """Return our commands by what is typed, those of groups with theirs: `ta3n-features info`."""
    scripts = [s for s in entry_points(group="console_scripts") if s.value.startswith("ta3n.")]
    found: dict[str, click.Command] = {}
    for script in sorted(scripts, key=lambda one: one.name):
        command = script.load()
        found[script.name] = command
        if isinstance(command, click.Group):
            found |= {f"{script.name} {name}": sub for name, sub in command.commands.items()}
    return found | {f"ta3n-report {CHECK}": check_submission}


def examples_of_help(command: click.Command) -> list[list[str]]:
    """Return the calls under the help of a command."""
    epilog = (command.epilog or "").replace("\\\n", " ")
    lines = [line.strip() for line in epilog.splitlines() if line.startswith("  ta3n-")]
    return [call for line in lines for call in our_calls(line)]


def parse(words: list[str]) -> dict[str, object]:
    """Parse a call as its command does, without running anything; return its values.

    `N` stands for a number that a reader has to choose.

    Raises:
        click.UsageError: For an option, value or command that there is not.
    """
    known = our_commands()
    two = " ".join(words[:2])
    name, rest = (two, words[2:]) if two in known else (words[0], words[1:])
    command = known[name]
    if isinstance(command, click.Group):
        raise click.UsageError(f"{two} is no command")
    rest = ["1" if word == "N" else word for word in rest]
    try:
        return command.make_context(name, rest).params
    except click.exceptions.Exit:  # --help, or a list
        return {}

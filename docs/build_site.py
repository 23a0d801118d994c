"""Build the documentation site: the pages of this folder, and what the program can tell itself.

A line `<!-- generated: NAME -->` in a page stands for text that is made here: the methods in the
registry, the help of the commands, the changelog. Nothing of that is kept in the repository, where
it could be out of date; there the line is what a reader sees, with a sentence that says where the
same is to be had.
"""

import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
from pydantic import BaseModel

from ta3n.extract.job.settings import ExtractSettings
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.epic.cli import CHECK, check_submission
from ta3n.train.jobs.settings import TrainSettings
from ta3n.train.methods.base import ENCODER_REVERSAL, Method, Weight
from ta3n.train.methods.registry import METHODS
from ta3n.train.report import cli as report

PAGES = Path(__file__).parent
ROOT = PAGES.parent
CONFIG = "zensical.toml"
MARKER = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)
ABSENT = re.compile(
    r" ?In the repository (this list is|these tables are) left out; .*\.$", re.MULTILINE
)
"""What is so in the repository alone."""
FENCES = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def build(build_folder: Path) -> None:
    """Write the pages to `docs` and the site to `site` of a folder.

    Raises:
        SystemExit: With 1, and what is wrong: a page that is not in the navigation or has no file,
            a link, anchor, picture or Python name that leads nowhere, or to a network for what a
            page is made of.
    """
    pages = build_folder / "docs"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.rmtree(build_folder / "site", ignore_errors=True)
    unwanted = shutil.ignore_patterns("*.py", "__pycache__", CONFIG)
    shutil.copytree(PAGES, pages, ignore=unwanted)
    for page in pages.rglob("*.md"):
        page.write_text(filled_in(page.read_text("utf-8"), page.name), "utf-8")
    text = (PAGES / CONFIG).read_text("utf-8")
    # Relative to the folder of the copy, wherever that is.
    (build_folder / CONFIG).write_text(text.replace("../.typing", str(ROOT / ".typing")), "utf-8")
    _check_navigation(pages, tomllib.loads(text)["project"]["nav"])
    command = [sys.executable, "-P", "-m", "zensical", "build", "--strict", "--clean"]
    command += ["--config-file", CONFIG]
    if subprocess.run(command, cwd=build_folder, check=False).returncode:
        sys.exit("the site is not built; what is wrong stands above")
    if faults := [*_faults(build_folder / "site")]:
        sys.exit("\n".join(faults))


class _Links(HTMLParser):
    """Collects what a page links to, what it is made of, and which anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.parts: set[str] = set()
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag."""
        values = {name: value for name, value in attrs if value}
        self.anchors.update(values[key] for key in ("id", "name") if key in values)
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        self.parts.update(values[key] for key in ("src", "href") if key in values and tag != "a")


def _faults(site: Path) -> Iterator[str]:
    """Yield what is wrong with links of the whole site, also to pictures and in generated parts."""
    found = {path: _Links(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    for page, links in found.items():
        name = page.relative_to(site)
        if name.name == "404.html":  # it is for servers, which show it at any place
            continue
        for link in sorted(links.links | links.parts):
            to = urlsplit(link)
            if to.scheme:
                if link in links.parts:
                    yield f"{name}: {link} is fetched from a network"
                continue
            target = (page.parent / unquote(to.path)).resolve() if to.path else page
            if not target.is_file():
                yield f"{name}: {link} leads nowhere"
            elif target in found and unquote(to.fragment) not in found[target].anchors:
                yield f"{name}: {link} leads to no anchor of {target.name}"


def filled_in(text: str, page: str) -> str:
    """Return a page with its generated parts; in tables a figure and its deviation stay together.

    Raises:
        SystemExit: For a part that there is not.
    """

    def part(found: re.Match[str]) -> str:
        if found[1] not in PARTS:
            sys.exit(f"{page}: no generated part {found[1]!r}; there are {', '.join(PARTS)}")
        return PARTS[found[1]]()

    filled = MARKER.sub(part, ABSENT.sub("", text))
    lines = (
        re.sub(r"(?<=\d) ± (?=\d)", "\u00a0±\u00a0", line) if line.startswith("|") else line
        for line in filled.split("\n")
    )
    return "\n".join(lines)


def _check_navigation(pages: Path, navigation: list[dict[str, object]]) -> None:
    named = list(_pages_in(navigation))
    there = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    for page in named:
        if page not in there:
            sys.exit(f"{CONFIG}: the navigation names {page}, which is not there")
    if left_out := there - set(named):
        sys.exit(f"{CONFIG}: the navigation lacks {', '.join(sorted(left_out))}")


def _pages_in(navigation: list[dict[str, object]]) -> Iterator[str]:
    for entry in navigation:
        for target in entry.values():
            if isinstance(target, list):
                yield from _pages_in(target)
            else:
                yield str(target)


def commands() -> str:
    """Return the help of every command, from the commands themselves."""
    scripts = entry_points(group="console_scripts")
    ours = sorted((one for one in scripts if one.value.startswith("ta3n.")), key=lambda e: e.name)
    parts = [part for one in ours for part in _command(one.name, one.load())]
    # It stands in the place of a folder, so that its command does not list it.
    parts += _command(f"{report.COMMAND} {CHECK}", check_submission, 3)
    return "\n".join(parts)


def _command(name: str, command: click.Command, level: int = 2) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"{'#' * level} {name}\n"
    yield f"{(command.help or '').strip()}\n"
    yield f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```\n"
    yield "| option | what it does |\n|---|---|"
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            yield f"| `{_cell(record[0])}` | {_prose(record[1])} |"
    yield ""
    if epilog := (command.epilog or "").replace("\b", "").strip():
        yield f"```text\n{epilog}\n```\n"
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _command(f"{name} {below.name}", below, level + 1)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _prose(text: str) -> str:
    """Return words of a help text for a table: `*`, `<` and `_` mean themselves."""
    return re.sub(r"([*_`\[])", r"\\\1", _cell(text).replace("<", "&lt;"))


def methods() -> str:
    """Return all methods of the registry: source, terms, weights, and where their formula is."""
    formulas = _sections_of_methods()
    rows = ["| method | source | it adds | it needs | formula |", "|---|---|---|---|---|"]
    for method in METHODS.all().values():
        made_of = method.on("relation" if any(t.needs_parts for t in method.terms) else "pooling")
        terms = ", ".join(term.label for term in made_of.terms) or "-"
        if method.closed_form is not None:
            terms = "a closed form in place of training"
        title, anchor = formulas[method.name]
        name = f'<span id="method-{method.name}"></span>`{method.name}`<br>{_prose(method.label)}'
        cells = [name, _prose(method.source), _prose(terms), _needs(method)]
        rows.append(f"| {' | '.join([*cells, f'[{title}](#{anchor})'])} |")
    return "\n".join(rows)


def _sections_of_methods() -> dict[str, tuple[str, str]]:
    """Return the title and the anchor of the section that explains each method.

    Raises:
        SystemExit: For a method without a section.
    """
    slugify = importlib.import_module("pymdownx.slugs").slugify(case="lower")
    found: dict[str, tuple[str, str]] = {}
    page = FENCES.sub("", (PAGES / "methods.md").read_text("utf-8"))
    sections = [section.partition("\n") for section in page.split("\n## ")[1:]]
    for name in METHODS.all():
        named = re.compile(rf"`(--method )?{re.escape(name)}`")
        about = [
            (not text.strip().startswith(f"`{name}`"), title)
            for title, _, text in sections
            if named.search(text) and not title.startswith(("All ", "Figures"))
        ]
        if about:
            # The section that begins with its name, else the first that has it.
            title = min(about, key=lambda one: one[0])[1]
            found[name] = (title, slugify(title, "-"))
    if missing := [name for name in METHODS.all() if name not in found]:
        sys.exit(f"methods.md: no section explains {', '.join(missing)}")
    return found


def _needs(method: Method) -> str:
    """Say what must be there for a method, beside a labelled source and an unlabelled target."""
    needs = []
    if method.trains_on == "nothing":
        needs.append("a finished run (`--init-from`), no source videos")
    elif method.trains_on == "target":
        needs.append("labels of the target")
    elif not method.terms and method.closed_form is None:
        needs.append("no target videos")
    if any(term.needs_parts for term in method.terms):
        needs.append("a temporal module with parts, such as `relation`")
    if method.closed_form is not None or any(term.with_heads == "one" for term in method.terms):
        needs.append("a benchmark with one head")
    return "; ".join(needs) or "-"


def weights() -> str:
    """Return all weights with their defaults, and how these were chosen."""
    rows = ["| weight | default | what it weighs | where the default comes from | of |"]
    rows.append("|---|---|---|---|---|")
    users: dict[str, list[str]] = {}
    known: dict[str, Weight] = {}
    for method in METHODS.all().values():
        needs_parts = any(term.needs_parts for term in method.terms)
        for name, weight in method.on(
            "relation" if needs_parts else method.temporal
        ).weights.items():
            known[name] = weight
            users.setdefault(name, []).append(f"[`{method.name}`](#method-{method.name})")
    known[ENCODER_REVERSAL.name] = ENCODER_REVERSAL
    users[ENCODER_REVERSAL.name] = [
        f"`--temporal {e.name}`" for e in ENCODERS.all().values() if e.reverses
    ]
    for name, weight in known.items():
        ramps = "; negative: the DANN ramp" if weight.ramps else ""
        cells = [f"`{name}`", f"{weight.default:g}", _prose(weight.about)]
        cells += [_prose(weight.origin) + ramps, ", ".join(users[name])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def encoders() -> str:
    """Return all temporal modules."""
    rows = ["| `--temporal` | source | parts | discriminators inside |", "|---|---|---|---|"]
    for encoder in ENCODERS.all().values():
        parts = f"yes: a {encoder.part} each" if encoder.has_parts else "no"
        inside = "yes (`beta_encoder`)" if encoder.reverses else "no"
        rows.append(f"| `{encoder.name}` | {_prose(encoder.source)} | {parts} | {inside} |")
    return "\n".join(rows)


def _settings(settings: type[BaseModel]) -> str:
    rows = ["| key | default | what it says |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        value = field.get_default(call_default_factory=True)
        told = "" if value is None else f"`{json.dumps(value, default=str)}`"
        rows.append(f"| `{name}` | {_cell(told)} | {_prose(field.description or '')} |")
    return "\n".join(rows)


def changelog() -> str:
    """Return the changelog without its heading."""
    return (ROOT / "CHANGELOG.md").read_text("utf-8").partition("\n")[2].strip()


def contributing() -> str:
    """Return the page for contributors, which lies where GitHub looks for it."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").strip()
    return text.replace("](docs/", "](").replace("](CHANGELOG.md)", "](changes.md)")


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "methods": methods,
    "weights": weights,
    "encoders": encoders,
    "extract-settings": lambda: _settings(ExtractSettings),
    "train-settings": lambda: _settings(TrainSettings),
    "changelog": changelog,
    "contributing": contributing,
}


if __name__ == "__main__":
    build(ROOT / "build")

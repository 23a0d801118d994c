"""Trained rows and their report, which the fixture `trained` makes, and what is on its pages."""

from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from ta3n.train.report.contents import Contents
from ta3n.train.report.data.collect import RunSet, collect_kinds
from ta3n.train.report.write import Report, build_kinds


@dataclass(frozen=True)
class Trained:
    """Where everything is."""

    runs: Path
    features: Path
    report: Report


_VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Fails on tags that do not close; collects what the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = self.style = self.script = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        elif self.open[-1:] == ["script"]:
            self.script += data
        else:
            self.text += data

    def attributes(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(report: Report) -> Page:
    return Page(report.page.read_text())


def collect_runs(*folders: Path) -> RunSet:
    """Return the runs under some folders, which are all on features of one kind."""
    (found,) = collect_kinds(*folders)
    return found


def build_contents(runs: RunSet) -> Contents:
    """Return what is told of runs on features of one kind."""
    (found,) = build_kinds([runs]).kinds
    return found

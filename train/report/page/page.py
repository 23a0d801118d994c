"""The page: one HTML file that needs no network, no script and no other file."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from ta3n.train.report.data.collect import DirectionRuns, RunSet
from ta3n.train.report.data.compare import Analysis
from ta3n.train.report.page import markup
from ta3n.train.report.page.stylesheet import STYLESHEET
from ta3n.train.report.tables.contents import Contents
from ta3n.train.report.tables.provenance import dataset_rows, feature_facts, run_rows, warnings
from ta3n.train.report.tables.sheets import Sheet
from ta3n.train.report.tables.summary import further_findings, main_finding

if TYPE_CHECKING:
    from ta3n.train.report.figures.gallery import Gallery

# Nothing outside the page may be loaded, whatever a name in the data contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def build_page(contents: Contents, galleries: Mapping[str, "Gallery"], command: str) -> bytes:
    """Return the page.

    Args:
        contents: What is reported.
        galleries: Pictures by label of the direction, if any were to be drawn.
        command: The command line that made the report.
    """
    runs = contents.runs
    several = len(runs.directions) > 1
    title = "Results" if several else runs.directions[0].label
    num_runs = sum(len(row.runs) for d in runs.directions for row in d.rows)
    above = f"Video domain adaptation, {num_runs} finished runs"
    body = [
        '<a class="skip" href="#results">To the results</a>',
        f'<header><p class="soft">{above}</p><h1>{markup.text(title)}</h1></header>',
        '<main id="results">',
        *(_direction(a, contents.sheets, galleries, command, several) for a in contents.analyses),
        markup.notes("Runs left out", runs.notes),
        _provenance(runs, command),
        "</main>",
        f"<footer><p>Made by ta3n {markup.text(version('ta3n'))}.</p></footer>",
    ]
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{markup.text(title)}: results</title>\n<style>{STYLESHEET}</style>\n</head>\n"
        f"<body>\n{chr(10).join(filter(None, body))}\n</body>\n</html>\n"
    )
    # A file name need not be valid Unicode; its odd bytes are shown as such.
    return page.encode(errors="backslashreplace")


def _direction(
    analysis: Analysis,
    sheets: Sequence[Sheet],
    galleries: Mapping[str, "Gallery"],
    command: str,
    several: bool,
) -> str:
    direction = analysis.direction
    parts = [f"<h2>{markup.text(direction.label)}</h2>"] if several else []
    parts.append(f'<p class="headline">{markup.text(main_finding(analysis))}</p>')
    *findings, explanation = further_findings(analysis)
    parts += [f"<p>{markup.text(' '.join(findings))}</p>"] if findings else []
    parts.append(f'<p class="soft">{markup.text(explanation)}</p>')
    parts.append(markup.notes("Bear in mind", warnings(direction)))
    parts += [
        markup.sheet_block(sheet, block)
        for sheet in sheets
        for block in sheet.blocks
        if block.has_runs and block.label == direction.label
    ]
    if gallery := galleries.get(direction.label):
        parts += [markup.figure(picture, command) for picture in gallery.pictures]
        parts.append(markup.notes("Pictures that are not here", gallery.missing))
    return f"<section>{chr(10).join(filter(None, parts))}</section>"


def _provenance(runs: RunSet, command: str) -> str:
    parts = [
        '<section id="provenance"><h2>Where this comes from</h2>',
        f"<p>The command that made this page:</p><pre><code>{markup.text(command)}</code></pre>",
        "<h3>Features</h3>",
        markup.definitions(feature_facts(runs)),
        markup.table(
            label="Datasets",
            caption="Datasets: first digits of the hashes of the feature manifest and of the list "
            "of videos used, and how many videos.",
            head=["dataset", "benchmark", "manifest", "list", "train", "validation"],
            rows=dataset_rows(runs),
            text_columns=range(4),
        ),
        *(_runs(direction) for direction in runs.directions),
        "</section>",
    ]
    return "\n".join(parts)


def _runs(direction: DirectionRuns) -> str:
    return "<h3>Runs</h3>\n" + markup.table(
        label=f"Runs, {direction.label}",
        caption=f"{direction.label}: first digits of the configuration's hash, settings, versions, "
        "and how many single target labels were read, all seeds together. They are read to score "
        "every epoch, never to train an adapting row; target only trains on target labels, which "
        "are not counted here.",
        head=["row", "seeds", "configuration", "recipe", "ran with", "label reads"],
        rows=run_rows(direction),
        text_columns=range(5),
    )

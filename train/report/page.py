"""The page: one HTML file that needs no network, no script and no other file."""

from collections.abc import Mapping
from importlib.metadata import version

from ta3n.train.report import markup
from ta3n.train.report.collect import Direction, RunSet
from ta3n.train.report.compare import CALL_WORDS, compare, focal_row
from ta3n.train.report.gallery import Gallery
from ta3n.train.report.labels import RULES
from ta3n.train.report.provenance import dataset_rows, feature_facts, run_rows, warnings
from ta3n.train.report.stylesheet import STYLESHEET
from ta3n.train.report.table import headings, table_rows
from ta3n.train.report.verdict import headline, signed, supporting

# Nothing outside the page may be loaded, whatever a name in the data contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def build_page(runs: RunSet, galleries: Mapping[str, Gallery], command: str) -> bytes:
    """Return the page.

    Args:
        runs: What is reported.
        galleries: Pictures by label of the direction.
        command: The command line that made the report.
    """
    several = len(runs.directions) > 1
    title = "Results" if several else runs.directions[0].label
    num_runs = sum(len(row.runs) for d in runs.directions for row in d.rows)
    above = f"Video domain adaptation, {num_runs} finished runs"
    body = [
        '<a class="skip" href="#results">To the results</a>',
        f'<header><p class="soft">{above}</p><h1>{markup.text(title)}</h1></header>',
        '<main id="results">',
        *(_direction(d, galleries[d.label], n, several) for n, d in enumerate(runs.directions)),
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


def _direction(direction: Direction, gallery: Gallery, number: int, several: bool) -> str:
    parts = [f"<h2>{markup.text(direction.label)}</h2>"] if several else []
    parts.append(f'<p class="headline">{markup.text(headline(direction))}</p>')
    *findings, explanation = supporting(direction)
    parts += [f"<p>{markup.text(' '.join(findings))}</p>"] if findings else []
    parts.append(f'<p class="soft">{markup.text(explanation)}</p>')
    parts.append(markup.notes("Bear in mind", warnings(direction)))
    parts.append(_results(direction, number))
    parts.append(_comparisons(direction, number))
    parts += [markup.figure(picture) for picture in gallery.pictures]
    parts.append(markup.notes("Pictures that are not here", gallery.missing))
    return f"<section>{chr(10).join(filter(None, parts))}</section>"


def _results(direction: Direction, number: int) -> str:
    focal = focal_row(direction)
    return "<h3>Results</h3>\n" + markup.table(
        identity=f"results-{number}",
        caption="Accuracy on the target validation videos: mean ± standard deviation over n seeds. "
        "Gain: last, against source only with the same temporal module. Oracle chooses the epoch "
        "on target labels and is not available in practice.",
        head=headings(direction),
        rows=[row.cells() for row in table_rows(direction)],
        text_columns=(0, 1),
        marked=None if focal is None else direction.rows.index(focal),
    )


def _comparisons(direction: Direction, number: int) -> str:
    focal = focal_row(direction)
    others = [row for row in direction.rows if row is not focal]
    if focal is None or not others:
        return ""
    rows = []
    for found in (compare(focal, row) for row in others):
        seeds, both = found.seeds_error, found.standard_error
        rows.append([
            found.reference.label,
            signed(found.points),
            "" if both is None else f"{both:.1f}",
            CALL_WORDS[found.call],
            signed(found.videos),
            "" if seeds is None else f"{seeds:.1f}",
            f"{found.videos_error:.1f}",
        ])  # fmt: skip
    return markup.table(
        identity=f"comparisons-{number}",
        caption=f"{focal.label} against every other row, last epoch. ± is the standard error of "
        "the difference in points, over seeds and videos together, and each alone.",
        head=["against", "points", "±", "reading", "videos", "± seeds", "± videos"],
        rows=rows,
        text_columns=(0, 3),
    )


def _provenance(runs: RunSet, command: str) -> str:
    rules = dict.fromkeys(rule for direction in runs.directions for rule in direction.rules)
    parts = [
        '<section id="provenance"><h2>Where this comes from</h2>',
        f"<p>The command that made this page:</p><pre><code>{markup.text(command)}</code></pre>",
        "<h3>Selection rules</h3>",
        markup.definitions([(rule, RULES.get(rule, "")) for rule in rules]),
        "<h3>Features</h3>",
        markup.definitions(feature_facts(runs)),
        markup.table(
            identity="datasets",
            caption="Datasets: first digits of the hashes of the feature manifest and of the list "
            "of videos used, and how many videos.",
            head=["dataset", "benchmark", "manifest", "list", "train", "validation"],
            rows=dataset_rows(runs),
            text_columns=range(4),
        ),
        *(_runs(direction, number) for number, direction in enumerate(runs.directions)),
        "</section>",
    ]
    return "\n".join(parts)


def _runs(direction: Direction, number: int) -> str:
    return "<h3>Runs</h3>\n" + markup.table(
        identity=f"runs-{number}",
        caption=f"{direction.label}: first digits of the configuration's hash, settings, versions, "
        "and how many single target labels were read, all seeds together. They are read to score "
        "every epoch, never to train an adapting row; target only trains on target labels, which "
        "are not counted here.",
        head=["row", "seeds", "configuration", "recipe", "ran with", "label reads"],
        rows=run_rows(direction),
        text_columns=range(5),
    )

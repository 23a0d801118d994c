"""If this breaks, a table pasted into a paper or a spreadsheet is wrong or does not build."""

import csv
import io
import re

import pytest
from rich.console import Console

from ta3n.train.report.data.statistics import Interval
from ta3n.train.report.tables.sheet import (
    EMPTY,
    Block,
    Cell,
    Column,
    Sheet,
    difference,
    over_seeds,
    print_sheet,
    printed,
    probability,
    span,
    tally,
    to_csv,
    to_latex,
    to_markdown,
    word_columns,
    words,
)

NASTY = r"50% & G_sd #1 {x} a|b \ ~ ^ $ <i> [bold]"

SHEET = Sheet(
    name="made",
    title="Made-up",
    caption="In %.",
    columns=(
        Column(head="row", names=("row",), words=True),
        Column(head="paper", names=("paper", "mark")),
        Column(head="last", names=("last", "last_sd")),
        Column(head="difference", names=("difference",)),
        Column(head="videos", names=("correct", "of")),
        Column(head="95 % interval", names=("low", "high")),
        Column(head="p", names=("p",), terminal=False),
    ),
    blocks=(
        Block(
            label="a → b",
            lines=(
                (
                    words(NASTY),
                    printed(74.44, "†"),
                    over_seeds((70.0, 72.0)),
                    difference(-3.44),
                    tally(17.5, 20),
                    span(Interval(68.25, 73.5)),
                    probability(0.0001),
                ),
                (words("one seed"), printed(80.0), over_seeds((70.0,)), *[EMPTY] * 4),
            ),
            marked=0,
        ),
        Block(
            label="b → a", lines=((words("not run"), printed(1.5), *[EMPTY] * 5),), has_runs=False
        ),
    ),
    notes=("† A note_with 5 %.",),
)


def test_csv_has_every_number_unrounded_in_a_cell_of_its_own() -> None:
    first, second, third = csv.DictReader(io.StringIO(to_csv(SHEET)))
    assert first["row"] == NASTY
    assert (first["direction"], third["direction"]) == ("a → b", "b → a")
    assert (first["paper"], first["mark"]) == ("74.44", "†")
    assert float(first["last"]) == 71
    assert float(first["last_sd"]) == pytest.approx(2**0.5)
    assert (first["difference"], first["correct"], first["of"]) == ("-3.44", "17.5", "20")
    assert (first["low"], first["high"], first["p"]) == ("68.25", "73.5", "0.0001")
    assert (second["last"], second["last_sd"], second["p"]) == ("70.0", "", "")
    assert not any(third[name] for name in ("last", "difference", "correct", "low", "p"))


def test_markdown_keeps_every_cell_in_its_column() -> None:
    text = to_markdown(SHEET)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {8}
    assert r"50% & G\_sd \#1 \{x\} a\|b" in text
    assert "| 74.44† | 71.00 ± 1.41 | −3.44 | 17.5 of 20 | 68.2 to 73.5 |" in text  # noqa: RUF001
    assert "| --- | ---: |" in text
    assert text.count("###") == 2
    assert text.endswith("- † A note\\_with 5 %.\n")


def test_latex_is_escaped_and_balanced() -> None:
    text = to_latex(SHEET)
    assert text.isascii()
    assert r"50\% \& G\_sd \#1 \{x\} a\textbar{}b \textbackslash{} \textasciitilde{}" in text
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"\label{tab:made}"):
        assert command in text
    opened, closed = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert opened == list(reversed(closed)) == ["table", "tabular"]
    bare = re.sub(r"\\[{}$&%#_\\]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if "&" in line]
    assert len(lines) == 4
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {6}
    assert r"\multicolumn{7}{l}{\textit{a $\rightarrow$ b}} \\" in body
    assert r"\begin{tabular}{lrrrrrr}" in text


def test_terminal_shows_what_was_run(capsys: pytest.CaptureFixture[str]) -> None:
    print_sheet(SHEET)
    printed = capsys.readouterr().out
    assert NASTY in printed
    assert "71.00 ± 1.41" in printed
    assert "not run" not in printed
    assert "0.001" not in printed
    assert "† A note_with 5 %." in printed


@pytest.mark.parametrize(("room", "left_out"), [(200, ""), (80, "mean of classes; videos; 95")])
def test_a_terminal_without_room_does_without_the_columns_that_say_least(
    room: int, left_out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns, the usual width, a table of 36 rows was told in 400 lines."""
    monkeypatch.setattr("ta3n.train.report.tables.sheet.open_console", lambda: Console(width=room))
    figures = ("last", "im", "oracle", "videos", "95 % interval", "mean of classes")
    columns = (*word_columns("method", "temporal"), *(Column(head, (head,)) for head in figures))
    names = (("Source only", "pooling"), ("Source only", "relation"))
    lines = tuple(
        (words(name), words(temporal), *(Cell("53.92 ± 17.57") for _ in figures))
        for name, temporal in names
    )
    block = Block(label="a", lines=lines)
    print_sheet(Sheet(name="x", title="t", caption="c", columns=columns, blocks=(block,)))
    printed_lines = capsys.readouterr().out.splitlines()
    assert max(map(len, printed_lines)) <= room
    told = [line for line in printed_lines if line.startswith("Columns without room here")]
    assert [left_out in line for line in told] == [True] * bool(left_out)
    (rows,) = [[x for x in printed_lines if "│" in x and "±" in x]]
    assert len(rows) == 2
    # Whole figures, and both names of rows that are called alike.
    assert all(row.count("53.92 ± 17.57") >= 3 for row in rows)
    assert ("pooling" in rows[0], "relation" in rows[1]) == (True, True)

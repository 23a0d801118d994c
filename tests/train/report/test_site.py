"""If this breaks, results cannot be found, sorted or taken along, or a name does harm."""

import csv
import hashlib
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from statistics import mean

import pytest

from ta3n.train.report.write import Report, write_report

from ...support.made_runs import make_config, make_rows, make_run
from ...support.reports import Page, Trained

TA3N, SOURCE = ("ta3n", "relation"), ("source-only", "relation")
HARM = "<script>alert(1)</script>"
OTHER = "<b>i3d</b>"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def read(path: Path) -> Page:
    return Page(path.read_text())


def links_of(path: Path) -> list[Path]:
    """Return where the links of a page lead; that they lead to files is seen to here."""
    hrefs = [a["href"] for a in read(path).attributes("a") if not a["href"].startswith("#")]
    found = [(path.parent / href).resolve() for href in hrefs]
    assert [each for each in found if not each.is_file()] == []
    return found


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of two directions, each on two kinds of features."""
    folder = tmp_path_factory.mktemp("several")
    make_rows(folder / "runs", {TA3N: (15, 14), SOURCE: (9, 8), (HARM, "relation"): (3, 4)})
    make_rows(folder / "runs", {TA3N: (12, 11)}, source="hmdb51", target="ucf101")
    make_rows(folder / "runs", {TA3N: (19, 20)}, backbone=OTHER)
    make_rows(folder / "runs", {TA3N: (8,)}, backbone=OTHER, source="hmdb51", target="ucf101")
    return write_report(
        [folder / "runs"], folder / "out", features=None, command="x", pictures=False
    )


def test_of_one_direction_the_index_is_its_page(trained: Trained) -> None:
    (index,) = trained.report.pages
    assert index == trained.report.page.parent / "index.html"
    whole, page = read(trained.report.page), read(index)
    for tag in ("table", "figure", "img", "h1"):
        assert len(page.attributes(tag)) == len(whole.attributes(tag))
    assert "TA3N (" in page.text
    assert not page.attributes("nav")


def test_every_table_and_picture_has_its_files_beside_it(trained: Trained) -> None:
    report = trained.report
    (index,) = report.pages
    shown = {sheet.name for sheet in report.contents.sheets if sheet.has_runs}
    tables = {path for path in report.tables if path.stem in shown}
    expected = {*tables, *report.figures, *report.numbers, report.csv, report.page}
    assert set(links_of(index)) == {path.resolve() for path in expected}
    pictures = {path.with_suffix("") for path in report.figures}
    assert pictures == {path.with_suffix("") for path in report.numbers}


def test_the_numbers_of_a_picture_are_those_it_shows(trained: Trained) -> None:
    found = {}
    for path in trained.report.numbers:
        with path.open(newline="") as file:
            found[path.stem] = [*csv.DictReader(file)]
        assert found[path.stem]
    (direction,) = trained.report.contents.runs.directions
    for row in direction.rows:
        lines = [line for line in found["accuracy"] if line["row"] == row.label]
        for rule in ("last", "oracle"):
            told = [float(line["accuracy_percent"]) for line in lines if line["rule"] == rule]
            assert told == pytest.approx(row.percents(rule))
        curve = [line for line in found["learning-curves"] if line["row"] == row.label]
        assert float(curve[-1]["accuracy_percent"]) == pytest.approx(mean(row.percents("last")))
    assert sum(int(line["videos"]) for line in found["confusion"]) == 2 * direction.rows[0].total
    assert {line["domain"] for line in found["tsne-after"]} == {"source", "target"}
    assert {line["seed"] for line in found["attention"]} == {"all", "0", "1"}
    assert sum(line["chosen"] == "True" for line in found["selection"]) > 0


def test_the_index_leads_to_a_page_for_each_direction_and_kind(several: Report) -> None:
    index, *pages = several.pages
    assert len(pages) == 4
    assert {path.resolve() for path in pages} <= set(links_of(index))
    text = read(index).text
    for told in ("Kinds of features side by side", f"Across directions: {OTHER}", HARM):
        assert told in text
    for path, direction in zip(pages, several.found.directions, strict=True):
        assert direction.label in read(path).text
        assert f"{direction.num_runs} finished run" in read(path).text
        leads = set(links_of(path))
        assert index.resolve() in leads
        # Footnotes on this direction alone.
        assert read(path).text.count(": single target labels were read") == 1
        # The same direction on other features, and no other page.
        (other,) = (
            place
            for place, each in zip(pages, several.found.directions, strict=True)
            if (each.source, each.target) == (direction.source, direction.target)
            if each is not direction
        )
        assert leads & {each.resolve() for each in pages} == {other.resolve()}


def test_pictures_of_the_pages_are_files_and_those_of_the_report_are_within(
    trained: Trained, tmp_path: Path
) -> None:
    """Each would be held twice: a page of six directions was as large as all its pictures."""
    (index,) = trained.report.pages
    images = read(index).attributes("img")
    assert len(images) == len(trained.report.figures) / 2
    for image in images:
        assert (index.parent / image["src"]).is_file()
        assert int(image["width"]) == 360
    assert index.stat().st_size < 0.2 * trained.report.page.stat().st_size
    assert "img-src 'self' file:;" in index.read_text()
    assert "img-src data:;" in trained.report.page.read_text()
    runs = make_rows(tmp_path / "runs", {TA3N: (15, 14), SOURCE: (9, 8)})
    make_rows(runs, {TA3N: (12, 11)}, source="hmdb51", target="ucf101")
    report = write_report([runs], tmp_path / "out", features=None, command="x")
    for page in report.pages[1:]:
        shown = [a["src"] for a in read(page).attributes("img")]
        assert shown
        assert [src for src in shown if not (page.parent / src).is_file()] == []


def test_why_pictures_are_not_there_is_printed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that TA3N was not run is not said where another row was asked for."""
    runs = make_rows(tmp_path / "runs", {TA3N: (15, 14), ("dan", "relation"): (9, 8)})
    make_rows(runs, {("dan", "relation"): (12, 11)}, source="hmdb51", target="ucf101")
    report = write_report([runs], tmp_path / "out", features=None, command="x", focal=["dan"])
    assert [note for note in report.notes if "without features" in note] == [
        "all directions: t-SNE, attention, frames: the report was made without features."
    ]
    (told,) = [note for note in report.notes if "TA3N was not run" in note]
    assert told.startswith("hmdb51 → ucf101")
    report.print()
    assert capsys.readouterr().out.count("without features") == 1


def test_footnotes_of_a_page_are_of_its_direction_alone(tmp_path: Path) -> None:
    """Rules that were withheld elsewhere, and broken rows of others, are no concern of a page."""
    config = make_config()
    for seed in range(2):
        withheld = {"snd": {"of no use": 2}}
        make_run(tmp_path, config, seed, (1, 2, 3), scores={"im": (1, 2, 3)}, withheld=withheld)
    other = make_config(source="hmdb51", target="ucf101")
    make_run(tmp_path, other, 0, (1, 2, 3), scores={"im": (1, 2, 3)}, withheld={"snd": {"no": 1}})
    report = write_report([tmp_path], tmp_path / "out", features=None, command="x", pictures=False)
    one, two = (read(page).text for page in report.pages[1:])
    assert "snd: score withheld in 1 epoch of 1 run" in one
    assert "snd: score withheld in 4 epochs of 2 runs" in two
    assert "in 5 epochs" not in one + two


def test_what_is_said_of_several_tables_is_said_once(tmp_path: Path) -> None:
    for seed in range(2):
        for method in ("ta3n", "source-only"):
            for source, target in (("ucf101", "hmdb51"), ("hmdb51", "ucf101")):
                config = make_config(method, source=source, target=target)
                make_run(tmp_path, config, seed, (1, 2, 3), scores={"im": (1, 3, 2)})
    report = write_report([tmp_path], tmp_path / "out", features=None, command="x", pictures=False)
    text = read(report.pages[0]).text
    assert text.count("All directions of ucf-hmdb-small: ") == 3
    assert text.count("A row has the same settings in all directions") == 1
    assert text.count("directions are not drawn") == 1


def test_figures_stand_under_each_other_and_are_copied_as_they_are(tmp_path: Path) -> None:
    """A figure without a deviation stood where others have theirs."""
    rows = {TA3N: (15, 5), SOURCE: (9, 8), ("dan", "relation"): (7,)}
    runs = make_rows(tmp_path / "runs", rows, benchmark="ours")
    report = write_report([runs], tmp_path / "out", features=None, command="x", pictures=False)
    text = report.page.read_text()
    assert '<td class="number">35.00<i data-room=" ± 35.36"></i></td>' in text
    assert '<td class="number">42.50<i data-room="6"></i> ± 3.54</td>' in text
    assert '<td class="number">50.00 ± 35.36</td>' in text
    assert "42.50 ± 3.54" in read(report.page).text
    # Where no row is one of the paper's, nothing is said of it.
    assert "Accuracy of every row" in text
    assert "no table of the paper" not in text


def test_pages_run_our_script_alone_and_load_nothing(several: Report) -> None:
    for path in several.pages:
        page = read(path)
        (script,) = page.attributes("script")
        assert script == {}
        digest = b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
        (policy,) = (
            a["content"]
            for a in page.attributes("meta")
            if a.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy.startswith("default-src 'none'")
        assert f"script-src 'sha256-{digest}'" in policy
        assert not {"link", "iframe", "object", "b"} & {tag for tag, _ in page.tags}
        ids = [a["aria-label"] for a in page.attributes("div") if a.get("class") == "scroll"]
        assert len(set(ids)) == len(ids) == len(page.attributes("table"))
        assert not any(name.startswith("on") for _, a in page.tags for name in a)
    assert HARM in read(several.pages[-1]).text


def test_pages_of_an_earlier_report_do_not_stay(several: Report, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(several.csv.parent, out)
    own = out / "pages" / "mine.html"
    own.write_text("<p>mine</p>")
    runs = make_run(tmp_path / "runs", make_config(), 0, (1, 2, 3))
    write_report([runs], out, features=None, command="x", pictures=False)
    assert [*out.glob("pages/*")] == [own]
    assert "one seed" in read(out / "index.html").text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_tables_sort_and_filter_in_a_browser(several: Report, tmp_path: Path) -> None:
    """Whatever is clicked and typed, rows are only moved and hidden."""
    index = several.pages[0]
    dom = Page(rendered(index, tmp_path))
    buttons = [a for a in dom.attributes("span") if a.get("role") == "button"]
    assert {a["tabindex"] for a in buttons} == {"0"}
    assert len(buttons) == sum("aria-sort" in a for a in dom.attributes("th")) > 10
    # The policy of the page lets nobody in: the copy has none, and a script that uses the page.
    driven = tmp_path / "driven.html"
    policy = r'<meta http-equiv="Content-Security-Policy"[^>]*>'
    driven.write_text(re.sub(policy, "", index.read_text()) + f"<script>{_USE}</script>")
    told = re.findall(r'<pre id="told">(.*)</pre>', rendered(driven, tmp_path))[-1]
    assert told.split("|") == [
        "97.50 ± 3.54,72.50 ± 3.54,57.50 ± 3.54,40.00,descending",
        "40.00,57.50 ± 3.54,72.50 ± 3.54,97.50 ± 3.54,ascending",
        "as before,none",
        "1 of 6 rows",
        "6 rows",
    ]


_USE = """
const table = document.querySelector("table");
const column = [...table.tHead.rows[0].cells].findIndex((c) => /^accuracy/.test(c.textContent));
const head = table.tHead.rows[0].cells[column], button = head.querySelector("[role=button]");
const cells = () => [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);
const before = cells().join(), told = [];
button.click(); told.push([...cells(), head.ariaSort].join());
const key = new KeyboardEvent("keydown", { key: "Enter" });
button.dispatchEvent(key); told.push([...cells(), head.ariaSort].join());
button.click();
told.push([cells().join() === before ? "as before" : "other", head.ariaSort].join());
const box = document.querySelector("input");
const status = box.parentElement.querySelector("[role=status]");
const rows = [...box.parentElement.nextElementSibling.querySelectorAll("tbody tr")];
const type = (text) => { box.value = text; box.dispatchEvent(new Event("input")); };
type("ORACLE ta3n"); told.push(status.textContent);
type(""); told.push(`${rows.filter((row) => !row.hidden).length} rows`);
document.body.insertAdjacentHTML("beforeend", `<pre id="told">${told.join("|")}</pre>`);
"""


def rendered(page: Path, scratch: Path) -> str:
    """Return a page as Chromium has it after its scripts have run."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            f"--user-data-dir={scratch / 'profile'}",
            "--dump-dom",
            page.resolve().as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout

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
    """Return a report of two directions on one kind of features, and one of them on another."""
    folder = tmp_path_factory.mktemp("several")
    make_rows(folder / "runs", {TA3N: (15, 14), SOURCE: (9, 8), (HARM, "relation"): (3, 4)})
    make_rows(folder / "runs", {TA3N: (12, 11)}, source="hmdb51", target="ucf101")
    make_rows(folder / "runs", {TA3N: (19, 20)}, backbone="<b>i3d</b>", manifest="f" * 64)
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
    assert len(pages) == 3
    assert {path.resolve() for path in pages} <= set(links_of(index))
    text = read(index).text
    for told in ("Kinds of features side by side", "All directions: last", "<b>i3d</b>", HARM):
        assert told in text
    for path, direction in zip(pages, several.found.directions, strict=True):
        page = read(path)
        assert direction.label in page.text
        others = [other for other in pages if other != path]
        leads = set(links_of(path))
        assert index.resolve() in leads
        # Only the same direction, on other features.
        same = {(p.source, p.target): p for p in several.found.directions if p is not direction}
        expected = (direction.source, direction.target) in same
        assert bool(leads & {other.resolve() for other in others}) == expected


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
    assert "alert(1)" in read(several.pages[-1]).text + read(several.pages[2]).text


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
    buttons = [a for a in dom.attributes("button") if a.get("type") == "button"]
    assert len(buttons) == sum("aria-sort" in a for a in dom.attributes("th")) > 10
    # The policy of the page lets nobody in: the copy has none, and a script that uses the page.
    driven = tmp_path / "driven.html"
    policy = r'<meta http-equiv="Content-Security-Policy"[^>]*>'
    driven.write_text(re.sub(policy, "", index.read_text()) + f"<script>{_USE}</script>")
    told = re.findall(r'<pre id="told">(.*)</pre>', rendered(driven, tmp_path))[-1]
    assert told.split("|") == [
        "97.50 ± 3.54,72.50 ± 3.54,57.50 ± 3.54,descending",
        "57.50 ± 3.54,72.50 ± 3.54,97.50 ± 3.54,ascending",
        "as before,none",
        "1 of 6 rows",
        "6 rows",
    ]


_USE = """
const table = document.querySelector("table");
const column = [...table.tHead.rows[0].cells].findIndex((c) => /^accuracy/.test(c.textContent));
const head = table.tHead.rows[0].cells[column], button = head.querySelector("button");
const cells = () => [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);
const before = cells().join(), told = [];
button.click(); told.push([...cells(), head.ariaSort].join());
button.click(); told.push([...cells(), head.ariaSort].join());
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

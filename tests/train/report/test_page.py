"""If this breaks, the page cannot be read, be trusted, or be sent to anyone."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ta3n.train.report.write import write_report

from ...support.made_runs import make_config, make_rows, make_run
from ...support.reports import Page, Trained, page_of


@pytest.fixture(scope="module")
def page(trained: Trained) -> Page:
    return page_of(trained.report)


def test_page_needs_nothing_else(page: Page) -> None:
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset"):
            assert re.match(r"#|data:image/svg\+xml;base64,|$", attributes.get(name, ""))
    assert "prefers-color-scheme: dark" in page.style
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_page_can_be_heard_and_walked_by_keyboard(page: Page, trained: Trained) -> None:
    assert page.attributes("html") == [{"lang": "en"}]
    assert len(page.attributes("main")) == len(page.attributes("h1")) == 1
    assert len(page.attributes("img")) == len(trained.report.figures) / 2
    assert all(len(image["alt"]) > 40 for image in page.attributes("img"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    regions = [a for a in page.attributes("div") if a.get("class") == "scroll"]
    # Table 2, the row that is in no table, comparisons, rules, datasets, runs.
    assert len(regions) == len(page.attributes("table")) == len(page.attributes("caption")) == 6
    assert all(a["tabindex"] == "0" and a["role"] == "region" for a in regions)
    assert len({a["aria-label"] for a in regions}) == 6
    assert {a["scope"] for a in page.attributes("th")} == {"row", "col"}


def test_page_tells_result_and_provenance(page: Page, trained: Trained) -> None:
    config = trained.report.contents.runs.directions[0].rows[0].config
    for told in (
        "TA3N (",
        "source only",
        "accuracies mean nothing",  # the features' weights are random:0
        "not available in practice",
        "ta3n-demo --out '<here>'",
        "resnet18, 8 features a frame",
        config.hash[:16],
        config.data["manifests"]["hmdb51"][:16],
        "label reads",
        "Table 2",
        "AMLS (GFK)",
        "99.33",
        "Selection rules",
        "were read 360 times in 6 runs",
        "t test over seeds and videos, both paired",
    ):
        assert told in page.text
    assert page.text.count("Made by ta3n-demo --out '<here>'") == len(page.attributes("figure"))
    # Three evaluations of 15 videos and one for the predictions, two seeds.
    assert page.text.count("120") >= 3


def test_every_picture_is_written_and_shows_something(trained: Trained) -> None:
    figures = trained.report.figures
    for path in figures:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width == 1000
                pixels = np.asarray(image.convert("L"))
            assert pixels.std() > 10
            # Nothing is cut off: the rim is white.
            assert min(pixels[0].min(), pixels[:, 0].min(), pixels[:, -1].min()) > 240
        else:
            assert path.read_text().rstrip().endswith("</svg>")


def test_equal_runs_give_equal_bytes(trained: Trained, tmp_path: Path) -> None:
    again = write_report(
        [trained.runs], tmp_path, features=trained.features, command="ta3n-demo --out '<here>'"
    )
    assert again.page.read_bytes() == trained.report.page.read_bytes()
    assert again.csv.read_bytes() == trained.report.csv.read_bytes()


def test_names_in_the_data_are_text(tmp_path: Path) -> None:
    runs = make_rows(
        tmp_path / "runs",
        {("<script>alert(1)</script>", "relation"): (3, 4), ("source-only", "relation"): (3, 4)},
    )
    broken = runs / "<img src=x>" / "seed-0"
    broken.mkdir(parents=True)
    report = write_report([runs], tmp_path / "out", features=None, command='x "<b>" \udcff')
    page = page_of(report)
    assert not page.attributes("script")
    assert page.attributes("img")
    assert "made without features" in page.text
    assert "<script>alert(1)</script>, relation" in page.text
    assert "<img src=x>/seed-0: broken" in page.text
    assert r'x "<b>" \udcff' in page.text
    assert "pull <up>" in " ".join(image["alt"] for image in page.attributes("img"))


def test_without_weights_the_page_says_why(trained: Trained, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(trained.runs, runs, ignore=shutil.ignore_patterns("weights.pt"))
    lost = write_report([runs], tmp_path / "b", features=trained.features, command="x")
    assert "no weights.pt or checkpoint.pt in" in page_of(lost).text
    assert not [path for path in lost.figures if "tsne" in path.name]
    assert any("t-SNE" in note for note in lost.notes)


def test_without_pictures_there_is_still_every_table(trained: Trained, tmp_path: Path) -> None:
    plain = write_report([trained.runs], tmp_path, features=None, command="x", pictures=False)
    page = page_of(plain)
    assert not page.attributes("img")
    assert len(page.attributes("table")) == 6
    assert plain.figures == ()
    assert [path.read_bytes() for path in plain.tables] == [
        path.read_bytes() for path in trained.report.tables
    ]


def test_degenerate_sets_of_runs_still_give_a_page(tmp_path: Path) -> None:
    """One row, one seed, one epoch; no adapting row; two directions."""
    one = make_run(tmp_path / "one", make_config("ta3n", epochs=1), 0, (3,))
    assert one.is_dir()
    alone = write_report([tmp_path / "one"], tmp_path / "a", features=None, command="x")
    assert "stands alone" in page_of(alone).text
    runs = make_rows(tmp_path / "two", {("source-only", "relation"): (3, 4)})
    plain = write_report([runs], tmp_path / "b", features=None, command="x", pictures=False)
    assert "No adapting method was run" in page_of(plain).text
    make_run(runs, make_config("ta3n", target="olympic"), 0, (1, 2, 3))
    both = write_report([runs], tmp_path / "c", features=None, command="x")
    text = page_of(both).text
    assert "ucf101 → hmdb51" in text
    assert "ucf101 → olympic" in text
    assert len({path.name for path in both.figures}) == len(both.figures)


def test_report_prints_tables_notes_and_the_page(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.report.print()
    printed = capsys.readouterr().out
    assert "TA3N" in printed
    assert printed.rstrip().endswith(f"report: {trained.report.page}")

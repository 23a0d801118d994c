"""If this breaks, the site lacks what there is, or a fault of it goes unnoticed."""

import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.methods.registry import METHODS, default_weights

from ..support.pages import REPOSITORY, our_commands
from ..support.plugins import forgotten_afterwards


@pytest.fixture
def site() -> ModuleType:
    """Return the program that builds the site."""
    pytest.importorskip("zensical", reason="extra 'docs' not installed")
    spec = spec_from_file_location("build_site", REPOSITORY / "docs" / "build_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pages(site: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the pages, from which the site is built."""
    copy = shutil.copytree(REPOSITORY / "docs", tmp_path / "pages")
    monkeypatch.setattr(site, "PAGES", copy)
    return copy


def test_every_method_weight_and_temporal_module_is_listed(site: ModuleType) -> None:
    with forgotten_afterwards():
        methods, weights, encoders = site.methods(), site.weights(), site.encoders()
        for name, method in METHODS.all().items():
            (row,) = [line for line in methods.splitlines() if f'"method-{name}"' in line]
            assert re.sub(r"\\(.)", r"\1", row).count(method.source) == 1
        listed = re.findall(r"^\| `([a-z_]+)` \| (\S+) \|", weights, re.MULTILINE)
        for name, value in listed:
            assert float(value) == pytest.approx(default_weights()[name], rel=1e-5)
        used = {
            w for m in METHODS.all().values() for t in m.terms if t.weight for w in [t.weight.name]
        }
        assert used <= {name for name, _ in listed}
        assert all(f"| `{name}` |" in encoders for name in ENCODERS.all())


def test_every_option_of_every_command_is_listed(site: ModuleType) -> None:
    text = site.commands()
    for name, command in our_commands().items():
        section = re.split(rf"^##+ {name}$", text, flags=re.MULTILINE)[1]
        section = re.split(r"^##", section, maxsplit=1, flags=re.MULTILINE)[0]
        flags = [
            o
            for p in command.params
            for o in p.opts
            if o.startswith("--") and not getattr(p, "hidden", False)
        ]
        assert all(flag in section for flag in flags), name


def test_the_site_is_built_without_a_network(site: ModuleType, pages: Path, tmp_path: Path) -> None:
    site.build(tmp_path)
    built = tmp_path / "site"
    assert {page.stem for page in pages.glob("*.md")} <= {
        page.stem for page in built.glob("*.html")
    }
    assert "coral+mcc" in (built / "search.json").read_text()
    methods = (built / "methods.html").read_text()
    assert "left out" not in re.sub(r"<[^>]+>", "", methods.split('id="all-methods"')[1][:600])
    # A deviation on a line of its own reads as another figure.
    assert "\u00a0±\u00a0" in (built / "first-table.html").read_text()
    assert 'src="http' not in "".join(page.read_text() for page in built.rglob("*.html"))


@pytest.mark.parametrize(
    ("page", "text", "told"),
    [
        ("report.md", "[gone](gone.md)", "page does not exist"),
        ("report.md", "[gone](own-data.md#gone)", "anchor does not exist"),
        ("report.md", "![gone](gone.png)", "gone.png leads nowhere"),
        ("report.md", "![far](https://example.org/a.png)", "is fetched from a network"),
        ("report.md", "<!-- generated: gone -->", "no generated part 'gone'"),
        ("report.md", "::: ta3n.gone", "Could not collect 'ta3n.gone'"),
        ("new.md", "# New", "the navigation lacks new.md"),
    ],
)
def test_a_fault_ends_the_build(
    site: ModuleType, pages: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    page: str, text: str, told: str,
) -> None:  # fmt: skip
    path = pages / page
    path.write_text(f"{path.read_text() if path.exists() else ''}\n\n{text}\n")
    with pytest.raises(SystemExit) as ended:
        site.build(tmp_path)
    assert ended.value.code not in (0, None)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "".join(capfd.readouterr()))
    assert told in f"{ended.value.code}\n{plain}"


def test_a_page_that_is_gone_ends_the_build(site: ModuleType, pages: Path, tmp_path: Path) -> None:
    (pages / "report.md").unlink()
    with pytest.raises(SystemExit, match=r"the navigation names report.md, which is not there"):
        site.build(tmp_path)

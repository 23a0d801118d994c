"""If this breaks, the page on benchmarks tells other facts than the program uses."""

import re
from pathlib import Path

import pytest

from ta3n.common.settings import load_settings
from ta3n.datasets.benchmarks.benchmark import BUILT_IN, Benchmark
from ta3n.datasets.catalogue import catalogue_of
from ta3n.datasets.custom.settings import DataSections
from ta3n.datasets.published.dataset import ListedDataset
from ta3n.datasets.published.registry import PUBLISHED

PAGE = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text()


def row_of(benchmark: Benchmark) -> str:
    sides = {name: benchmark.expected_totals(name) for name in benchmark.sides}
    counts = "; ".join(f"`{name}` {t[0]:,} / {t[1]:,}" for name, t in sides.items() if t)
    return f"| `{benchmark.name}` | {len(benchmark.class_names)} | {counts} |"


@pytest.mark.parametrize("benchmark", [*BUILT_IN, *PUBLISHED], ids=lambda b: b.name)
def test_each_benchmark_has_its_row(benchmark: Benchmark) -> None:
    lines = PAGE.splitlines()
    if benchmark.name == "synthetic":  # nobody's but ours
        assert benchmark.name not in PAGE
    elif len(benchmark.heads) > 1:
        assert f"`{benchmark.name}`" in PAGE
    else:
        assert row_of(benchmark) in lines


@pytest.mark.parametrize("benchmark", PUBLISHED, ids=lambda b: b.name)
def test_facts_are_those_of_the_data(benchmark: Benchmark) -> None:
    about = benchmark.about
    assert about is not None
    lines = PAGE.splitlines()
    licence = about.licence or "not established"
    assert f"| `{benchmark.name}` | {about.lists} | {about.videos} | {licence} |" in lines
    selection = about.selection or "not established"
    assert f"| `{benchmark.name}` | {selection} | {'; '.join(about.unknown)} |" in lines
    assert f"| `{benchmark.name}` | {', '.join(benchmark.class_names)} |" in lines


def test_the_test_sections_of_the_kitchens_are_those_of_the_data() -> None:
    (epic55,) = (b for b in PUBLISHED if b.name == "epic55")
    for number, side in enumerate(epic55.sides.values(), start=1):
        counts = [test for _, test in side.expected or ()]
        assert f"| D{number} | {' | '.join(map(str, counts))} |" in PAGE.splitlines()


def test_the_settings_on_the_page_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.toml"
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    file.write_text(text)
    settings = load_settings(DataSections, file, {}).settings
    gameplay = catalogue_of(settings).dataset("kg-gameplay")
    assert isinstance(gameplay, ListedDataset)
    assert [path.name for path in gameplay.given.val] == ["my_gameplay_val.txt"]

"""If this breaks, a submission is lost: one that the challenge refuses, or scores otherwise."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ta3n.common.errors import DataConflictError, SubmissionError, UsageError
from ta3n.train.epic.checking import check_submission
from ta3n.train.epic.form import SupervisionLevels
from ta3n.train.epic.submission import (
    log_mean_probabilities,
    write_submission,
)
from ta3n.train.report.cli import main

from ...support.epic import write_table

Record = dict[str, Any]
IDS = ("P99_901_0", "P99_901_1", "P99_902_5")
LEVELS = SupervisionLevels(pt=2, tl=3, td=3)


def scores(num: int = len(IDS)) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"verb": -rng.random((num, 97)), "noun": -9 * rng.random((num, 300))}


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Return a submission as it is written, to be broken."""
    write(tmp_path / "good.zip", IDS, scores(), LEVELS)
    with zipfile.ZipFile(tmp_path / "good.zip") as archive:
        assert archive.namelist() == ["test.json"]
        return dict(json.loads(archive.read("test.json")))


def write(path: Path, *args: Any, **options: Any) -> None:
    write_submission(path, *args, check=lambda file: check_submission(file, ids_of), **options)


def ids_of(split: str) -> tuple[str, ...]:
    return IDS if split == "target_test" else ("P99_91_0",)


def reason(path: Path) -> str:
    with pytest.raises(SubmissionError) as caught:
        check_submission(path, ids_of)
    text = str(caught.value)
    assert len(text) < 400
    return text


def test_a_submission_is_what_it_was_written_from(record: Record, tmp_path: Path) -> None:
    given = scores()
    assert {key: value for key, value in record.items() if key != "results_target"} == {
        "version": "0.2",
        "challenge": "domain_adaptation",
        "sls_pt": 2,
        "sls_tl": 3,
        "sls_td": 3,
    }
    assert list(record["results_target"]) == list(IDS)
    for name, verb, noun in zip(IDS, given["verb"], given["noun"], strict=True):
        entry = record["results_target"][name]
        assert [entry["verb"][str(n)] for n in range(97)] == pytest.approx(verb, abs=1e-6)
        assert [entry["noun"][str(n)] for n in range(300)] == pytest.approx(noun, abs=1e-6)
    size = (tmp_path / "good.zip").stat().st_size / 1e6
    assert check_submission(tmp_path / "good.zip", ids_of) == (
        "in order for domain_adaptation 0.2: 3 segments of target_test, with 97 verb scores and "
        f"300 noun scores each; sls_pt 2, sls_tl 3, sls_td 3; a zip, {size:.1f} MB"
    )


def test_the_same_scores_make_the_same_file_and_none_is_replaced_unasked(tmp_path: Path) -> None:
    first, second = tmp_path / "1.zip", tmp_path / "2.zip"
    for path in (first, second):
        write(path, IDS, scores(), LEVELS)
    before = first.read_bytes()
    assert second.read_bytes() == before
    with pytest.raises(UsageError, match="there already; name another file, or give --overwrite"):
        write(first, IDS, scores(), SupervisionLevels(0, 0, 0))
    assert first.read_bytes() == before
    write(first, IDS, scores(), SupervisionLevels(0, 0, 0), overwrite=True)
    assert "; sls_pt 0, sls_tl 0, sls_td 0; " in check_submission(first, ids_of)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.zip", "2.zip"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verb": np.zeros((3, 96))}, r"verb scores are \[3, 96\]"),
        ({"noun": np.full((3, 300), np.nan)}, "P99_901_0: noun scores are not finite"),
    ],
)
def test_scores_that_would_be_refused_are_not_written(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataConflictError, match=message):
        write(tmp_path / "bad.zip", IDS, scores() | change, LEVELS)
    with pytest.raises(DataConflictError, match="3 segments have 2 names"):
        write(tmp_path / "bad.zip", (*IDS[:2], IDS[0]), scores(), LEVELS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("level", [-1, 6])
def test_levels_off_the_scale_are_refused(level: int) -> None:
    with pytest.raises(UsageError, match=f"td is {level}; levels of supervision are 0 to 5"):
        SupervisionLevels(0, 5, level)


def test_seeds_are_averaged_as_probabilities() -> None:
    first, second = np.array([[0.9, 0.1]]), np.array([[0.2, 0.8]])
    mean = log_mean_probabilities([np.log(first), np.log(second)])
    assert np.exp(mean) == pytest.approx((first + second) / 2)
    tiny = log_mean_probabilities([np.array([[-2000.0, 0.0]])] * 3)
    assert tiny == pytest.approx(np.array([[-2000.0, 0.0]]))


def first(record: Record) -> Record:
    return dict_of(record, IDS[0])


def second(record: Record) -> Record:
    return dict_of(record, IDS[1])


def dict_of(record: Record, name: str) -> Record:
    entry: Record = record["results_target"][name]
    return entry


def lose(key: str) -> Callable[[Record], Any]:
    return lambda record: record.pop(key)


def put(key: str, value: object) -> Callable[[Record], Any]:
    return lambda record: record.update({key: value})


def score(value: object) -> Callable[[Record], Any]:
    return lambda record: second(record)["noun"].update({"7": value})


def renamed(head: str, old: str, new: str) -> Callable[[Record], Any]:
    return lambda record: second(record)[head].update({new: second(record)[head].pop(old)})


def extra_segment(record: Record) -> None:
    record["results_target"]["P99_903_7"] = second(record)


def swapped_segment(record: Record) -> None:
    record["results_target"]["P99_903_7"] = record["results_target"].pop(IDS[1])


def actions(num: int, change: str = "", *names: str) -> Callable[[Record], Any]:
    found = {f"0,{n}": 0.1 for n in range(num)}
    if change:
        found = {change: 0.1, **dict(list(found.items())[1:])}

    def add(record: Record) -> None:
        for name in names or IDS:
            dict_of(record, name)["action"] = found

    return add


# What the challenge's checker is known to be asked, in the words of the reference, and what is
# said here.
CHANGES: dict[str, tuple[Callable[[Record], Any], str]] = {
    "version missing": (lose("version"), "there is no version"),
    'version "0.1"': (
        put("version", "0.1"),
        'version is the text "0.1"; it has to be the text "0.2"',
    ),
    "version 0.2 as a number": (
        put("version", 0.2),
        'version is the number 0.2; it has to be the text "0.2"',
    ),
    "challenge missing": (lose("challenge"), "there is no challenge"),
    'challenge "action_recognition"': (
        put("challenge", "action_recognition"),
        'challenge is the text "action_recognition"; it has to be the text "domain_adaptation"',
    ),
    "sls_pt missing": (lose("sls_pt"), "there is no sls_pt"),
    "sls_tl 6": (put("sls_tl", 6), "sls_tl is the number 6; it has to be a whole number, 0 to 5"),
    "sls_td -1": (put("sls_td", -1), "sls_td is the number -1; it has to be a whole number"),
    'sls_pt "2" as text': (
        put("sls_pt", "2"),
        'sls_pt is the text "2"; it has to be a whole number, 0 to 5',
    ),
    "results missing": (lose("results_target"), "there is no results_target"),
    "a segment missing": (
        lambda record: record["results_target"].pop(IDS[1]),
        'results_target lacks 1 of the 3 segments of target_test ("P99_901_1")',
    ),
    "a segment too many": (
        extra_segment,
        'results_target has 1 beside the segments of target_test ("P99_903_7")',
    ),
    "both: one missing and one too many (only the missing is named)": (
        swapped_segment,
        'lacks 1 of the 3 segments of target_test ("P99_901_1") and has 1 beside '
        'the segments of target_test ("P99_903_7")',
    ),
    "verb missing": (
        lambda record: second(record).pop("verb"),
        "segment P99_901_1 has no verb scores",
    ),
    "noun missing": (
        lambda record: second(record).pop("noun"),
        "segment P99_901_1 has no noun scores",
    ),
    "verb class 96 missing": (
        lambda record: second(record)["verb"].pop("96"),
        "segment P99_901_1 lacks the scores of 1 of 97 verb classes (96)",
    ),
    "noun class 300 too many": (
        lambda record: second(record)["noun"].update({"300": 0.1}),
        'segment P99_901_1 has a score for noun class "300", beyond the last, 299',
    ),
    'verb class "take"': (
        renamed("verb", "1", "take"),
        'segment P99_901_1 has a score for verb class "take", which is not a class number',
    ),
    'verb class "1.5"': (
        renamed("verb", "1", "1.5"),
        'segment P99_901_1 has a score for verb class "1.5", which is not a class number',
    ),
    "score null": (score(None), "segment P99_901_1: the score of noun 7 is null, not a number"),
    'score "0.5" as text': (
        score("0.5"),
        'segment P99_901_1: the score of noun 7 is the text "0.5", not a number',
    ),
    "score NaN (passes)": (
        score(float("nan")),
        "segment P99_901_1: the score of noun 7 is not finite",
    ),
    "score Infinity (passes)": (
        score(float("inf")),
        "segment P99_901_1: the score of noun 7 is not finite",
    ),
    "score true (passes)": (
        score(True),
        "segment P99_901_1: the score of noun 7 is true, not a number",
    ),
    "action scores for the first segment only": (
        actions(100, "", IDS[0]),
        "1 of 3 segments have action scores, P99_901_0 an object of 100",
    ),
    "action scores for a later segment only": (
        actions(100, "", IDS[1]),
        "1 of 3 segments have action scores, P99_901_1 an object of 100",
    ),
    "99 action scores each": (
        actions(99),
        "3 of 3 segments have action scores, P99_901_0 an object of 99",
    ),
    'action key "3"': (
        actions(100, "3"),
        'P99_901_0 an object of 100, the first for "3"; the server makes actions',
    ),
    'action key "97,0"': (
        actions(100, "97,0"),
        'P99_901_0 an object of 100, the first for "97,0"; the server makes actions',
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_known_fault_is_told_in_its_own_words(
    name: str, record: Record, tmp_path: Path
) -> None:
    change, message = CHANGES[name]
    change(record)
    bare, packed = tmp_path / "test.json", tmp_path / "bad.zip"
    bare.write_text(json.dumps(record))
    assert message in reason(bare)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(bare, "test.json")
    assert reason(packed) == reason(bare)


@pytest.mark.shared
def test_the_faults_are_those_of_the_reference_whose_example_is_in_order(shared: Path) -> None:
    golden = shared / "epic" / "golden"
    listed = json.loads((golden / "metrics_reference.json").read_text())["checker"]
    assert [each["change"] for each in listed] == ["valid", *CHANGES]
    example = golden / "example_submission.json"
    ids = list(json.loads(example.read_text())["results_target"])
    for file in (example, example.with_suffix(".zip")):
        found = check_submission(file, lambda _split: ids)
        assert f": {len(ids)} segments of target_test, with" in found
        assert "; sls_pt 2, sls_tl 3, sls_td 3; " in found
    # And none of what is said is the challenge's own text.
    theirs = {each["message"] for each in listed} - {None}
    assert not theirs & {message for _, message in CHANGES.values()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("sls_tl", True), "sls_tl is true; it has to be a whole number"),
        (put("sls_tl", 2.0), "sls_tl is the number 2.0; it has to be a whole number"),
        (put("results", {}), '"results" is no part of the published form'),
        (put("results_target", []), "results_target is a list of 0 instead of an object"),
        (put("results_source", {}), 'lacks 1 of the 1 segments of source_test ("P99_91_0")'),
        (score(-(10**400)), "the score of noun 7 is not finite"),
        (renamed("verb", "1", "01"), 'verb class "01", which is not a class number'),
        (renamed("verb", "1", "\u0661"), 'verb class "\u0661", which is not a class number'),
        (lambda record: second(record).update(time=1), 'has "time" beside verb and noun'),
        (lambda record: second(record).update(verb=[1]), "verb is a list of 1 instead of an"),
        (lambda record: record["results_target"].update({IDS[1]: 3}), "P99_901_1 is the number 3"),
    ],
)
def test_what_the_challenge_would_let_pass_or_crash_on_is_refused(
    change: Callable[[Record], Any], message: str, record: Record, tmp_path: Path
) -> None:
    change(record)
    path = tmp_path / "test.json"
    path.write_text(json.dumps(record))
    assert message in reason(path)


def test_a_number_too_large_for_a_score_is_refused(record: Record, tmp_path: Path) -> None:
    score("LARGE")(record)
    path = tmp_path / "test.json"
    path.write_text(json.dumps(record).replace('"LARGE"', "1e999"))
    assert "the score of noun 7 is not finite" in reason(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": "0.2", "version": "0.2"}', 'an object has the key "version" twice'),
        ("[" * 100_000, "neither a zip nor JSON"),
        ("[1, 2]", "the JSON is a list of 2 instead of an object"),
        ("results", "neither a zip nor JSON"),
        ("", "neither a zip nor JSON"),
        ("{}", "there is no version"),
    ],
)
def test_what_is_no_submission_at_all_is_told_so(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    path.write_text(text)
    assert message in reason(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["test.json", "notes.txt"], 'it holds "test.json", "notes.txt"'),
        (["run/test.json"], 'it holds "run/test.json"'),
        (["test.json", "test.json"], 'it holds "test.json", "test.json"'),
        ([], "it holds nothing"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_holds_nothing_else(names: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    assert message in reason(path)


def test_a_zip_that_unpacks_to_absurd_sizes_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("test.json", "w", force_zip64=True) as member,
    ):
        for _ in range(2**28 // 2**22 + 1):
            member.write(b" " * 2**22)
    assert path.stat().st_size < 2e6
    assert "unpacks to more than the 268435456 bytes" in reason(path)
    # And where the header lies about it, in either place that tells the size.
    size, less = (2**28 + 2**22).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    data = path.read_bytes()
    assert size in data or (2**28 + 2**22).to_bytes(8, "little") in data
    path.write_bytes(data.replace(size, less))
    assert "would be refused" in reason(path)


def test_a_damaged_zip_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "good.zip"
    write(path, IDS, scores(), LEVELS)
    whole = path.read_bytes()
    for data in (whole[:-30], whole[:200] + b"?" * 50 + whole[250:], b"PK"):
        path.write_bytes(data)
        assert "the zip cannot be unpacked" in reason(path)


def test_probabilities_are_in_order_but_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    probabilities = {head: np.exp(s) for head, s in scores().items()}
    probabilities = {head: s / s.sum(axis=1, keepdims=True) for head, s in probabilities.items()}
    write(tmp_path / "test.zip", IDS, probabilities, LEVELS)
    with caplog.at_level("WARNING", "ta3n"):
        check_submission(tmp_path / "test.zip", ids_of)
    assert "results_target holds probabilities" in caplog.text


def test_the_command_tells_by_its_exit_code_what_is_wrong(tmp_path: Path) -> None:
    write_table(tmp_path / "annotations", "target_test", [(name, None, None) for name in IDS])
    write(tmp_path / "test.zip", IDS, scores(), LEVELS)

    def check(file: str, *more: object) -> tuple[int, str]:
        arguments = ["check-submission", tmp_path / file, *more]
        result = CliRunner().invoke(main, [str(each) for each in arguments])
        return result.exit_code, result.output

    told = "--annotations", tmp_path / "annotations"
    code, output = check("test.zip", *told)
    (line,) = [each for each in output.splitlines() if "in order" in each]
    assert code == 0
    assert line.endswith("MB")
    assert "3 segments of target_test, with 97 verb scores and 300 noun scores each" in line
    assert "sls_pt 2, sls_tl 3, sls_td 3; a zip, " in line

    (tmp_path / "bad.json").write_text("{}")
    code, output = check("bad.json", *told)
    assert (code, output.splitlines()[-1]) == (
        4,
        "ta3n-report check-submission: error: the submission would be refused: there is no version",
    )
    code, output = check("none.zip", *told)
    assert (code, "no such file" in output) == (1, True)
    code, output = check("test.zip", "--annotations", tmp_path / "none")
    assert (code, "there is no such folder" in output) == (1, True)
    code, output = check("test.zip")
    assert (code, "--annotations" in output) == (2, True)
    assert (
        CliRunner()
        .invoke(main, ["check-submission", "--help"])
        .output.startswith("Usage: ta3n-report check-submission [OPTIONS] FILE")
    )

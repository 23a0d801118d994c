"""A submission checked before it is handed in: the server counts failed ones too.

The form is the published one, read strictly. Beyond what the challenge is known to refuse, this
refuses what makes its rankings meaningless: scores that are not finite, truth values, doubled keys.
"""

import io
import json
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ta3n.common.errors import DataMissingError, SubmissionError, did_you_mean, reason_of, shorten
from ta3n.common.log import LOGGER
from ta3n.datasets.epic.challenge import EpicSplit
from ta3n.train.epic.form import CHALLENGE, HEADS, HIGHEST_LEVEL, MEMBER, VERSION

_MOST_BYTES = 2**28
"""Far more than a submission with every digit of every score has."""
_LEVELS = ("sls_pt", "sls_tl", "sls_td")
_RESULTS: dict[str, EpicSplit] = {
    "results_target": "target_test",
    "results_source": "source_test",
}
_NEEDED = ("version", "challenge", *_LEVELS, "results_target")
_KEYS = {head: frozenset(map(str, range(count))) for head, count in HEADS.items()}
_NUMBER = re.compile("0|[1-9][0-9]*")
_LONGEST_SHOWN = 40


def check_submission(file: Path, ids_of: Callable[[EpicSplit], Sequence[str]]) -> str:
    """Check a submission, a zip or the JSON that is to go into it; return what it is, in a line.

    Args:
        file: It.
        ids_of: Gives the names of the segments of a part of the challenge.

    Raises:
        SubmissionError: It is not of the published form; the message tells the first fault.
        DataMissingError: There is no such file.
        OSError: It cannot be read.
    """
    if not file.is_file():
        raise DataMissingError(f"no submission {file}: there is no such file")
    num_bytes = file.stat().st_size
    if num_bytes > _MOST_BYTES:
        _refuse(f"it has {num_bytes} bytes, and a submission at most {_MOST_BYTES}")
    data = file.read_bytes()
    zipped = data.startswith(b"PK")
    if zipped:
        data = _unzipped(data)
    record = _parsed(data)
    _check_head(record)
    parts = []
    for key, split in _RESULTS.items():
        if key in record:
            _check_results(key, split, record[key], ids_of(split))
            parts.append(f"{len(record[key])} segments of {split}")
    scores = " and ".join(f"{count} {head} scores" for head, count in HEADS.items())
    levels = ", ".join(f"{key} {record[key]}" for key in _LEVELS)
    form = "a zip" if zipped else f"bare JSON, to be zipped as {MEMBER} first"
    return (
        f"in order for {CHALLENGE} {VERSION}: {' and '.join(parts)}, with {scores} each; {levels}; "
        f"{form}, {num_bytes / 1e6:.1f} MB"
    )


def _refuse(what: str) -> NoReturn:
    raise SubmissionError(f"the submission would be refused: {what}")


def _unzipped(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if names != [MEMBER]:
                held = shorten(map(_quoted, names)) or "nothing"
                _refuse(f"the zip has to hold {MEMBER} and nothing else; it holds {held}")
            (about,) = archive.infolist()
            if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                _refuse(f"{MEMBER} is packed by method {about.compress_type}; deflate it")
            size = about.file_size
            # A header may lie, so that no more is unpacked than may be there.
            with archive.open(MEMBER) as member:
                found = member.read(_MOST_BYTES + 1) if size <= _MOST_BYTES else b""
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        _refuse(f"the zip cannot be unpacked ({reason_of(error)})")
    if size > _MOST_BYTES or len(found) > _MOST_BYTES:
        _refuse(f"{MEMBER} unpacks to more than the {_MOST_BYTES} bytes of any submission")
    return found


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(data.decode(), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        _refuse(f"it is neither a zip nor JSON ({reason_of(error)})")
    if not isinstance(record, dict):
        _refuse(f"the JSON is {_shown(record)} instead of an object with version, challenge ...")
    return record


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        double = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        _refuse(f"an object has the key {_quoted(double)} twice, and one value would be lost")
    return found


def _quoted(text: str) -> str:
    return f'"{text[:_LONGEST_SHOWN]}"'


def _shown(value: object) -> str:
    """Return what a value of JSON is, in words."""
    if isinstance(value, str):
        return f"the text {_quoted(value)}"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"the number {str(value)[:_LONGEST_SHOWN]}"


def _check_head(record: Mapping[str, Any]) -> None:
    """Check all but the results."""
    for key in _NEEDED:
        if key not in record:
            near = did_you_mean(key, [other for other in record if other not in _NEEDED])
            _refuse(f"there is no {key}{near}")
    if unknown := [key for key in record if key not in (*_NEEDED, *_RESULTS)]:
        _refuse(f"{_quoted(unknown[0])} is no part of the published form")
    for key, wanted in {"version": VERSION, "challenge": CHALLENGE}.items():
        if record[key] != wanted:
            _refuse(f"{key} is {_shown(record[key])}; it has to be the text {_quoted(wanted)}")
    for key in _LEVELS:
        level = record[key]
        if type(level) is not int or not 0 <= level <= HIGHEST_LEVEL:
            _refuse(f"{key} is {_shown(level)}; it has to be a whole number, 0 to {HIGHEST_LEVEL}")


def _check_results(key: str, split: EpicSplit, results: object, ids: Sequence[str]) -> None:
    if not isinstance(results, dict):
        _refuse(f"{key} is {_shown(results)} instead of an object of segments")
    known = set(ids)
    differs = {
        f"lacks {{}} of the {len(ids)} segments of {split}": [i for i in ids if i not in results],
        f"has {{}} beside the segments of {split}": [i for i in results if i not in known],
    }
    if told := [
        f"{how.format(len(names))} ({shorten(map(_quoted, names))})"
        for how, names in differs.items()
        if names
    ]:
        _refuse(f"{key} {' and '.join(told)}")
    _check_entries(results)
    if all(_are_probabilities(scores) for entry in results.values() for scores in entry.values()):
        LOGGER.warning(
            "%s holds probabilities: the server takes their sum for the order of actions, not "
            "their product; hand in log-probabilities, whose top-5 actions are better",
            key,
        )


def _check_entries(results: Mapping[str, Any]) -> None:
    for name, entry in results.items():
        if not isinstance(entry, dict):
            _refuse(f"segment {name} is {_shown(entry)} instead of an object of verb and noun")
        for head in HEADS:
            if head not in entry:
                _refuse(f"segment {name} has no {head} scores")
        if "action" in entry:
            _refuse_actions(results)
        if unknown := [key for key in entry if key not in HEADS]:
            _refuse(f"segment {name} has {_quoted(unknown[0])} beside verb and noun")
        for head in HEADS:
            _check_scores(f"segment {name}", head, entry[head])


def _refuse_actions(results: Mapping[str, Any]) -> NoReturn:
    found = {n: e["action"] for n, e in results.items() if isinstance(e, dict) and "action" in e}
    name, scores = next(iter(found.items()))
    first = (
        f", the first for {_quoted(next(iter(scores)))}"
        if scores and isinstance(scores, dict)
        else ""
    )
    _refuse(
        f"{len(found)} of {len(results)} segments have action scores, {name} {_shown(scores)}"
        f"{first}; the server makes actions of verb and noun by itself, so leave them out"
    )


def _check_scores(where: str, head: str, scores: object) -> None:
    if not isinstance(scores, dict):
        _refuse(f"{where}: {head} is {_shown(scores)} instead of an object of scores by class")
    keys, last = _KEYS[head], HEADS[head] - 1
    if scores.keys() != keys:
        if others := [key for key in scores if key not in keys]:
            beyond = _NUMBER.fullmatch(others[0])
            why = f"beyond the last, {last}" if beyond else "which is not a class number"
            _refuse(f"{where} has a score for {head} class {_quoted(others[0])}, {why}")
        lacking = sorted(keys - scores.keys(), key=int)
        _refuse(
            f"{where} lacks the scores of {len(lacking)} of {last + 1} {head} classes "
            f"({shorten(lacking)})"
        )
    for number, score in scores.items():
        if type(score) is float and math.isfinite(score):
            continue
        if type(score) not in (int, float):
            _refuse(f"{where}: the score of {head} {number} is {_shown(score)}, not a number")
        if not -1e300 < score < 1e300:
            _refuse(f"{where}: the score of {head} {number} is not finite, so it has no rank")


def _are_probabilities(scores: Mapping[str, float]) -> bool:
    return min(scores.values()) >= 0 and abs(sum(scores.values()) - 1) < 1e-3

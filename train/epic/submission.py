"""What is handed in to the EPIC-KITCHENS-100 domain adaptation challenge: a zip with `test.json`.

Shapes: N segments, V verbs, O nouns.

Source: the page of the challenge. Its server takes any scores, of which it forms softmax outputs
and their products; log-probabilities come to the model's own order of actions.
"""

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import DataConflictError, UsageError
from ta3n.common.files import fsync_path, publish_file, temporary_beside
from ta3n.train.epic.form import CHALLENGE, HEADS, MEMBER, VERSION, SupervisionLevels

_DECIMALS = 6


def write_submission(
    path: Path,
    ids: Sequence[str],
    scores: Mapping[str, NDArray[np.floating[Any]]],
    levels: SupervisionLevels,
    *,
    check: Callable[[Path], object],
    overwrite: bool = False,
) -> None:
    """Write a submission: complete and in order, or not at all.

    Args:
        path: The zip.
        ids: Of the segments, N different ones.
        scores: Log-probabilities: `verb` [N, V], `noun` [N, O]. They are written to six places.
        levels: Of supervision.
        check: Called with what is written before it gets its name, to raise if it is not in order.
        overwrite: Whether it may take the place of another file.

    Raises:
        UsageError: The file is there.
        DataConflictError: The scores do not fit the ids, or are not finite.
        OSError: The file cannot be written.
        SubmissionError: What `check` finds.
    """
    _check(ids, scores)
    check_free(path, overwrite=overwrite)
    # No time of writing: the same scores make the same file.
    about = zipfile.ZipInfo(MEMBER)
    about.compress_type = zipfile.ZIP_DEFLATED
    about.external_attr = 0o644 << 16
    with temporary_beside(path) as temporary:
        with zipfile.ZipFile(temporary, "x") as archive, archive.open(about, "w") as file:
            head = {"version": VERSION, "challenge": CHALLENGE, **levels.record()}
            file.write(json.dumps(head)[:-1].encode() + b', "results_target": {')
            for number, entry in enumerate(_entries(ids, scores)):
                file.write((b", " if number else b"") + entry)
            file.write(b"}}")
        check(temporary)
        if overwrite:
            fsync_path(temporary)
            temporary.replace(path)
            fsync_path(path.parent)
        elif not publish_file(temporary, path):
            check_free(path, overwrite=False)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse to take the place of a file without being told.

    Raises:
        UsageError: The file is there.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        more = "name a file" if path.is_dir() else "name another file, or give --overwrite"
        raise UsageError(f"{path} is there already; {more}")


def _check(ids: Sequence[str], scores: Mapping[str, NDArray[np.floating[Any]]]) -> None:
    if len(set(ids)) < len(ids) or not ids:
        raise DataConflictError(f"{len(ids)} segments have {len(set(ids))} names")
    for head, num_classes in HEADS.items():
        found = scores[head]
        if found.shape != (len(ids), num_classes):
            raise DataConflictError(
                f"{head} scores are {list(found.shape)}; a submission of {len(ids)} segments has "
                f"[{len(ids)}, {num_classes}]"
            )
        if not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
            raise DataConflictError(f"{ids[row]}: {head} scores are not finite; train again")


def _entries(
    ids: Sequence[str], scores: Mapping[str, NDArray[np.floating[Any]]]
) -> Iterator[bytes]:
    """Yield each segment with its scores, one at a time: there are millions of them."""
    for number, name in enumerate(ids):
        entry = {
            head: {str(n): round(s, _DECIMALS) for n, s in enumerate(scores[head][number].tolist())}
            for head in HEADS
        }
        yield f"{json.dumps(name)}: {json.dumps(entry)}".encode()


def log_mean_probabilities(
    log_probabilities: Sequence[NDArray[np.floating[Any]]],
) -> NDArray[np.float64]:
    """Return the logarithm of the mean of the probabilities of several models, [N, C].

    Args:
        log_probabilities: Of each, [N, C].
    """
    stacked = np.stack(log_probabilities).astype(np.float64)
    return np.asarray(np.logaddexp.reduce(stacked, axis=0) - math.log(len(stacked)))

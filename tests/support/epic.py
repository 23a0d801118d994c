"""Made-up annotations and features of the EPIC-KITCHENS-100 challenge, in the published form."""

import csv
import pickle
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ta3n.common.store import Features
from ta3n.datasets.epic.challenge import (
    MODALITIES,
    NUM_NOUNS,
    NUM_VERBS,
    PUBLISHED,
    ROWS_PER_SEGMENT,
    EpicSplit,
)

TIMES = (
    *("narration_id", "participant_id", "video_id", "narration_timestamp"),
    *("start_timestamp", "stop_timestamp", "start_frame", "stop_frame"),
)
LABELS = (
    *("narration", "verb", "verb_class", "noun", "noun_class", "all_nouns", "all_noun_classes"),
)


def write_table(
    folder: Path, split: EpicSplit, rows: Iterable[tuple[str, int | None, int | None]]
) -> Path:
    """Write the table of a split with rows of id, verb, noun; None for tables without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{PUBLISHED[split].table}.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        for number, (name, verb, noun) in enumerate(rows):
            if number == 0:
                writer.writerow(TIMES if verb is None else (*TIMES, *LABELS))
            video = name.rpartition("_")[0]
            start = 10 + 150 * number
            times = ("", "00:00:00.20", "00:00:02.20", start, start + 100)
            labels = (f"do {verb}", f"v{verb}", verb, f"n{noun}", noun, [f"n{noun}"], [noun])
            row = (name, video.partition("_")[0], video, *times)
            writer.writerow(row if verb is None else (*row, *labels))
    return file


CHALLENGE: tuple[EpicSplit, ...] = (
    *("source_train", "source_val", "target_train", "target_val", "target_test"),
)
"""The parts whose features were published."""


def segment_ids(split: EpicSplit, count: int) -> list[str]:
    """Return the names of a part's segments: four of a video, in kitchens that do not exist."""
    kitchen = f"P9{1 + split.endswith('val')}"
    first, of_tests = (1, 50) if split.startswith("source") else (101, 400)
    first += of_tests * split.endswith("test")
    digits = PUBLISHED[split].num_digits
    return [f"{kitchen}_{first + i // 4:0{digits}d}_{i % 4}" for i in range(count)]


def segment_rows(name: str, modality: str, dim: int) -> Features:
    """Return the rows of a segment [25, dim], which follow from its name."""
    seed = [zlib.crc32(name.encode()), MODALITIES.index(modality)]
    rows = np.random.default_rng(seed).random((ROWS_PER_SEGMENT, dim))
    return rows.astype(np.float32)


def features_of(ids: Sequence[str], dim: int) -> dict[str, Any]:
    """Return what the pickle of a part holds."""
    features = {m: np.stack([segment_rows(name, m, dim) for name in ids]) for m in MODALITIES}
    return {"features": features, "narration_ids": list(ids)}


def write_challenge(
    folder: Path, count: int = 6, dim: int = 4, splits: Sequence[EpicSplit] = CHALLENGE
) -> tuple[Path, Path]:
    """Write pickles and annotations of so many segments a part; return their two folders."""
    pickles, annotations = folder / "pickles", folder / "annotations"
    pickles.mkdir(parents=True)
    for split in splits:
        ids = segment_ids(split, count)
        labelled = PUBLISHED[split].counts.verbs > 0
        labels = [(5 * i % NUM_VERBS, 7 * i % NUM_NOUNS) for i in range(count)]
        rows = [
            (n, *(lab if labelled else (None, None))) for n, lab in zip(ids, labels, strict=True)
        ]
        write_table(annotations, split, rows)
        (pickles / f"{split}.pkl").write_bytes(pickle.dumps(features_of(ids, dim), protocol=4))
    return pickles, annotations

"""Made-up annotation tables of the EPIC-KITCHENS-100 challenge, in the published form."""

import csv
from collections.abc import Iterable
from pathlib import Path

from ta3n.datasets.epic.challenge import PUBLISHED, EpicSplit

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

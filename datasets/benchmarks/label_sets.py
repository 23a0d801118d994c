"""Label sets that differ between domains: partial and open targets.

In a closed set both domains have the same classes. A partial target lacks some of the source's
(Cao et al., Partial Transfer Learning with Selective Adversarial Networks, CVPR 2018). In an open
set the target has classes that the source has not, which count as one, unknown (Saito et al., Open
Set Domain Adaptation by Backpropagation, ECCV 2018). Both together are universal adaptation.

Legend: C classes of the source; label C stands for unknown.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from ta3n.common.errors import UsageError, did_you_mean, shorten
from ta3n.common.files import canonical_json, sha256_of
from ta3n.datasets.benchmarks.benchmark import Benchmark, LabelSets, Side
from ta3n.datasets.reading.folders import quoted

OTHERS = "others"
"""In the place of a class: all class folders of the target that the benchmark does not use."""

_LONGEST = 40
_HASH_DIGITS = 6


def with_label_sets(
    benchmark: Benchmark,
    sources: Collection[str],
    target: str,
    read_folders: Callable[[], Collection[str]],
    *,
    target_classes: Sequence[str] = (),
    unknown: Sequence[str] = (),
) -> Benchmark:
    """Return a benchmark whose target has other classes than its sources.

    Its name tells which, so that nothing of it is taken for a figure of the benchmark itself. Every
    dataset that is no source has the classes of the target.

    Args:
        benchmark: Of one head.
        sources: Full names of the datasets that are learned from.
        target: Full name.
        read_folders: Returns the class folders that the target has features of; called where the
            benchmark has no answer.
        target_classes: Classes that the target keeps, several in one text by commas; none keeps
            all.
        unknown: Classes that the sources lose, class folders of the target that the benchmark does
            not use, or `OTHERS`: one unknown class in the target.

    Raises:
        UsageError: A class that is not there, or both kept and unknown; too few are left.
    """
    if len(benchmark.heads) > 1:
        raise UsageError(
            f"benchmark {quoted(benchmark.name)} has several heads, and --target-classes and "
            "--unknown are for one; leave them out"
        )
    names = benchmark.class_names
    taken, folders = _resolve_unknown(unknown, benchmark, target, read_folders)
    known = tuple(name for name in names if name not in taken)
    kept = _resolve_kept(target_classes, benchmark, taken) or known
    if len(known) < 2:
        raise UsageError(
            f"--unknown leaves {len(known)} of the {len(names)} classes of "
            f"{quoted(benchmark.name)} to the source, which needs two or more"
        )
    partial = kept if len(kept) < len(known) else ()
    if not partial and not taken and not folders:
        return benchmark
    sets = LabelSets(base=benchmark.name, target_classes=partial, unknown=(*taken, *folders))
    places = {names.index(name): place for place, name in enumerate(known)}
    left = {names.index(name): places[names.index(name)] for name in kept}
    gone = {names.index(name): len(known) for name in taken}
    sides = {
        name: _side(side, places)
        if name in sources
        else _side(side, {**left, **gone}, folders, num_known=len(known))
        for name, side in benchmark.sides.items()
    }
    return replace(
        benchmark,
        name=f"{benchmark.name}-{_slug(sets)}",
        class_names=known,
        sides=sides,
        heads=(),
        label_sets=sets,
    )


def _side(
    side: Side, places: Mapping[int, int], folders: Iterable[str] = (), num_known: int = 0
) -> Side:
    """Return a side whose labels are those at new places, and whose other classes are left out.

    Args:
        folders: Beside them, as unknown.
        num_known: C, where some may be unknown.
    """
    labels = {folder: places[label] for folder, label in side.labels.items() if label in places}
    strange = {folder: num_known for folder in folders if folder not in side.labels}
    expected = side.expected
    if expected is not None:
        counts = dict.fromkeys(range(num_known or len(places)), (0, 0))
        for old, new in places.items():
            train, val = counts.get(new, (0, 0))
            counts[new] = train + expected[old][0], val + expected[old][1]
        if strange:
            # How many there should be of them nobody knows.
            counts.pop(num_known, None)
        expected = tuple(counts[label] for label in sorted(counts))
    same = len(labels) == len(side.labels) and not strange
    return replace(
        side,
        labels={**labels, **strange},
        expected=expected,
        totals=side.totals if same else None,
    )


def _resolve_kept(
    texts: Sequence[str], benchmark: Benchmark, taken: Collection[str]
) -> tuple[str, ...]:
    """Return the classes that a partial target keeps, in order of their labels."""
    given = _split(texts, benchmark.class_names)
    for name in given:
        if name not in benchmark.class_names:
            raise UsageError(
                f"--target-classes: benchmark {quoted(benchmark.name)} has no class {quoted(name)}"
                f"{did_you_mean(name, benchmark.class_names)}; it has "
                f"{shorten(benchmark.class_names, len(benchmark.class_names))}"
            )
        if name in taken:
            raise UsageError(
                f"{quoted(name)} is in --target-classes and in --unknown; it is known or it is not"
            )
    return tuple(name for name in benchmark.class_names if name in given)


def _resolve_unknown(
    texts: Sequence[str],
    benchmark: Benchmark,
    target: str,
    read_folders: Callable[[], Collection[str]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes that sources lose, and the folders that the benchmark does not use."""
    given, classes = _split(texts, benchmark.class_names), benchmark.class_names
    taken = tuple(name for name in classes if name in given)
    if len(taken) == len(given):
        return taken, ()
    used = benchmark.side(target).labels
    others = sorted(set(read_folders()) - used.keys())
    found: set[str] = set()
    for name in (name for name in given if name not in classes):
        if name in others:
            found.add(name)
        elif name == OTHERS:
            if not others:
                raise UsageError(
                    f"--unknown {OTHERS}: {target} has no features of a class that "
                    f"{quoted(benchmark.name)} does not use; extract them, or name classes"
                )
            found |= set(others)
        elif name in used:
            raise UsageError(
                f"--unknown: {quoted(name)} is a folder of the class "
                f"{quoted(classes[used[name]])}; name the class"
            )
        else:
            raise UsageError(
                f"--unknown: neither benchmark {quoted(benchmark.name)} nor {target} has "
                f"the class {quoted(name)}{did_you_mean(name, (*classes, *others))}; classes that "
                f"the source can lose: {shorten(classes, len(classes))}"
                + (f"; only in {target}: {shorten(others, 20)}" if others else "")
            )
    return taken, tuple(sorted(found))


def _split(texts: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the names in texts, each once; one that is a class as it stands may hold a comma."""
    names: list[str] = []
    for text in texts:
        parts = [text] if text in known else [part.strip() for part in text.split(",")]
        names += [part for part in parts if part]
    return tuple(dict.fromkeys(names))


def _slug(sets: LabelSets) -> str:
    parts = (("partial", sets.target_classes), ("open", sets.unknown))
    return "-".join(f"{kind}-{_short(names)}" for kind, names in parts if names)


def _short(names: Sequence[str]) -> str:
    """Return names as a part of a folder's name, by number and hash where they would not do."""
    text = "+".join(names)
    if len(text) <= _LONGEST and re.fullmatch(r"[\w.+]+", text, re.ASCII):
        return text
    return f"{len(names)}-{sha256_of(canonical_json(list(names)))[:_HASH_DIGITS]}"

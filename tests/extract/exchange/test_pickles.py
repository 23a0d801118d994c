"""If this breaks, a file from a stranger runs, takes all memory, or is read as other numbers."""

import copyreg
import os
import pickle
import random
import subprocess
import tracemalloc
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ta3n.common.errors import DataConflictError, DataMissingError
from ta3n.extract.exchange import pickles
from ta3n.extract.exchange.pickles import PickledArray, open_pickle

CANARY = "was-run"
VALUES = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
LARGE = np.random.default_rng(1).normal(size=(40, 25, 9)).astype(np.float32)
"""Larger than what is read at once with everything else."""

PROTOCOLS = range(6)


class Call:
    """What a pickle may hold: anything that is called when it is read."""

    def __init__(self, function: Any, *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.call


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "x.pkl"
    path.write_bytes(data)
    return path


def refused(folder: Path, data: bytes) -> str:
    """Return what is told of a pickle that is refused, always in a line with its name."""
    path = saved(folder, data)
    with pytest.raises(DataConflictError) as caught, open_pickle(path):
        pass
    text = str(caught.value)
    assert text.startswith(f"'{path}' cannot be read: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_containers_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    value = {
        "numbers": [0, 1, -1, 255, 256, 65536, -(2**40), 2**70, 2.5, True, False, None],
        "texts": ("a", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\n\\'", "", ()),
        7: [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, [[]]],
        "again": VALUES,
        "array": VALUES,
    }
    path = saved(tmp_path, pickle.dumps(value, protocol=protocol))
    with open_pickle(path) as found:
        arrays = found.pop("again"), found.pop("array")
        assert arrays[0] is arrays[1]
        assert np.array_equal(arrays[0].read(), VALUES)
    del value["again"], value["array"]
    assert found == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", "|u1", "|b1", "<U7", "|S5"])
def test_values_of_every_form(tmp_path: Path, protocol: int, dtype: str) -> None:
    array = (100 * LARGE[:3]).astype(dtype)
    with open_pickle(saved(tmp_path, pickle.dumps(array, protocol=protocol))) as found:
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert np.array_equal(found.read(), array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rows_are_read_alone_whatever_lies_in_the_file(tmp_path: Path, protocol: int) -> None:
    orders = {
        "as it is": LARGE,
        "fortran": np.asfortranarray(LARGE),
        "axes": LARGE.transpose(0, 2, 1),
        "view": LARGE[::2, 1:, :5],
    }
    if protocol > 2:  # no bytes at all are written as a call before that
        orders["none"] = LARGE[:0]
    with open_pickle(saved(tmp_path, pickle.dumps(orders, protocol=protocol))) as found:
        for name, array in orders.items():
            assert found[name].shape == array.shape
            assert np.array_equal(found[name].read(), array)
            with found[name].with_rows_together(tmp_path) as rows:
                for start in (0, 3, len(array) - 1):
                    assert np.array_equal(rows[start : start + 2], array[start : start + 2])
    assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"]


def test_bytes_of_a_text_are_found_in_the_middle(tmp_path: Path) -> None:
    """Protocol 2 writes bytes as letters, of which every second takes two bytes."""
    array = np.random.default_rng(2).integers(0, 256, size=(3000, 1024)).astype(np.uint8)
    with open_pickle(saved(tmp_path, pickle.dumps(array, protocol=2))) as found:
        for start in (0, 1, 777, 1500, 2999):
            assert np.array_equal(found[start : start + 1], array[start : start + 1])
        assert np.array_equal(found[600:2800], array[600:2800])
        assert np.array_equal(found.read(), array)


def test_objects_are_values_and_not_bytes(tmp_path: Path) -> None:
    names = np.array([["P01_11_0", None], [3, ["a"]]], dtype=object)
    with open_pickle(saved(tmp_path, pickle.dumps(names))) as found:
        assert found.items == ["P01_11_0", None, 3, ["a"]]
        assert (found.shape, found.dtype) == ((2, 2), np.dtype(object))


def stack_global(module: str, name: str) -> bytes:
    texts = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name))
    return b"\x80\x04" + texts + b"\x93"


def hostile() -> dict[str, bytes]:
    """Return pickles that run something where they are loaded by Python."""
    touch, calls = f"touch {CANARY}", {}
    code = f"open({CANARY!r}, 'w').close()"
    functions: dict[str, Call] = {
        "os.system": Call(os.system, touch),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, CANARY, "w"),
        "import": Call(__import__, "this"),
        "getattr": Call(getattr, "text", "format"),
        "subprocess": Call(subprocess.check_call, ["touch", CANARY]),
        "numpy": Call(np.save, CANARY, VALUES),
        "class": Call(deque),
    }
    for name, call in functions.items():
        for protocol in (0, 2, 4):
            calls[f"{name} {protocol}"] = pickle.dumps({"a": [call]}, protocol=protocol)
    calls["in an array"] = pickle.dumps(np.array([functions["os.system"]], dtype=object))
    run = b"\x8c" + bytes([len(CANARY)]) + CANARY.encode() + b"\x85R."
    calls["dotted"] = stack_global("numpy", "f2py.os.mkdir") + run
    calls["dotted module"] = stack_global("numpy.f2py.os", "mkdir") + run
    calls["inner name"] = stack_global("numpy.core.multiarray", "_reconstruct.__globals__") + run
    calls["codecs"] = stack_global("_codecs", "encode.__self__") + run
    calls["instance"] = f"(S'{touch}'\nios\nsystem\n.".encode()
    calls["object"] = f"(cos\nsystem\nS'{touch}'\no.".encode()
    calls["new object"] = b"\x80\x02cos\nsystem\n" + b"U\x01a\x85\x81."
    calls["persistent"] = b"\x80\x02U\x01aQ."
    calls["persistent line"] = b"Pos.system\n."
    calls["outside"] = b"\x80\x05\x97."
    calls["set"] = pickle.dumps({1, 2}, protocol=4)
    return calls


@pytest.mark.parametrize("name", hostile())
def test_nothing_in_a_file_runs(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "asks for" in refused(tmp_path, hostile()[name])
    assert not (tmp_path / CANARY).exists()


def test_a_name_is_told(tmp_path: Path) -> None:
    data = pickle.dumps(Call(os.system, "true"), protocol=4)
    assert f"it asks for {os.name}.system, which no array needs" in refused(tmp_path, data)
    data = stack_global("numpy\n\x1b[31m", "x") + b"."
    assert r"it asks for numpy\n\x1b[31m.x, which" in refused(tmp_path, data)


def test_extension_codes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copyreg.add_extension("os", "mkdir", 240)
    try:
        for code in (b"\x82\xf0", b"\x83\xf0\0", b"\x84\xf0\0\0\0"):
            data = b"\x80\x02" + code + b"U\x07was-run\x85R."
            assert "asks for an object by its extension code" in refused(tmp_path, data)
    finally:
        copyreg.remove_extension("os", "mkdir", 240)
    assert not (tmp_path / CANARY).exists()


def test_known_names_do_only_what_arrays_need(tmp_path: Path) -> None:
    """Even what is known is not called as it likes."""
    text = b"\x8c\x03abc"
    encoding = stack_global("_codecs", "encode") + text + b"\x8c\x05rot13\x86R."
    assert "encodes a text otherwise" in refused(tmp_path, encoding)
    assert "makes an array otherwise" in refused(
        tmp_path, stack_global("numpy", "ndarray") + text + b"\x85R."
    )
    made = stack_global("numpy.core.multiarray", "_reconstruct") + b"K\x00\x85R."
    assert "makes an array otherwise" in refused(tmp_path, made)
    assert "it calls what is no function" in refused(
        tmp_path, b"\x80\x04" + text + text + b"\x85R."
    )
    for state in (b"N", b"}", b"K\x01"):
        assert "a state, which" in refused(tmp_path, b"\x80\x04]" + state + b"b.")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, dtype=[("a", "f4"), ("b", "i4")]),
        np.zeros(3, dtype="M8[s]"),
        np.zeros(3, dtype="c8"),
        np.zeros(3, dtype="V4"),
    ],
)
def test_values_that_are_no_numbers_or_texts_are_refused(tmp_path: Path, array: Any) -> None:
    assert "an array has values of form" in refused(tmp_path, pickle.dumps(array, protocol=4))


def test_inner_arrays_and_fields_are_refused(tmp_path: Path) -> None:
    sound = pickle.dumps(VALUES, protocol=2)
    before = b"X\x01\x00\x00\x00<q\x0b"
    at = sound.index(b"X\x01\x00\x00\x00<")
    assert sound[at + 8 : at + 11] == b"NNN", before
    damaged = sound[: at + 8] + b"K\x01" + sound[at + 9 :]
    assert "several fields" in refused(tmp_path, damaged)


def memory_of(folder: Path, data: bytes) -> tuple[str, int]:
    path = saved(folder, data)
    del data
    tracemalloc.start()
    try:
        with pytest.raises(DataConflictError) as caught, open_pickle(path):
            pass
        return str(caught.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_small_file_cannot_take_much_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "_MOST_INSTRUCTIONS", 300_000)
    sound = pickle.dumps(np.zeros(3, np.float32), protocol=4)
    length = b"K\x03\x85"
    assert sound.count(length) == 1
    bombs = {
        "an array of shape [2147483647]": sound.replace(length, b"J\xff\xff\xff\x7f\x85"),
        "shape of an array is no tuple": sound.replace(length, b"J\xff\xff\xff\xff\x85"),
        "4611686018427387904 bytes are declared": b"\x80\x04\x8e" + b"\0" * 7 + b"\x40.",
        "2147483648 bytes are declared": b"\x80\x02T\0\0\0\x80.",
        "a part of 1152921504606846976 bytes": b"\x80\x04\x95" + b"\0" * 7 + b"\x10.",
        "form 'U99999999'": sound.replace(b"\x8c\x02f4", b"\x8c\x09U99999999"),
        "asks for a number of any length": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "a number has 100000 digits": b"L" + b"9" * 100000 + b"\n.",
        "more than 300000 instructions": b"\x80\x02" + b"]" * 300_000 + b".",
    }
    # Many copies of one text as bytes.
    copies = stack_global("_codecs", "encode") + b"\x94X\0\x10\0\0" + b"a" * 4096 + b"\x94"
    copies += b"\x8c\x06latin1\x94(" + b"h\x00h\x01h\x02\x86R" * 50_000 + b"t."
    bombs["ends with values that belong nowhere"] = copies
    for told, data in bombs.items():
        text, peak = memory_of(tmp_path, data)
        assert told in text
        assert peak < 40 * 2**20, told


def test_a_nested_value_does_not_break_the_program(tmp_path: Path) -> None:
    """Python's own hash of a deep tuple, and many a look into one, is the end of the process."""
    deep = b"\x80\x02)" + b"\x85" * 100_000
    with open_pickle(saved(tmp_path, deep + b".")) as found:
        assert isinstance(found, tuple)
    assert "a key is a tuple" in refused(tmp_path, b"\x80\x02}" + deep[2:] + b"Ns.")
    itself = b"\x80\x02]q\x00h\x00a."
    with open_pickle(saved(tmp_path, itself)) as found:
        assert found[0] is found


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    sound = pickle.dumps({"a": VALUES}, protocol=4)
    kinds = {
        b"": "it is empty",
        b"<!DOCTYPE html>": "a web page or other text",
        b"\x1f\x8b\x08" + sound: "packed by gzip; unpack it first",
        b"PK\x03\x04" + sound: "an archive",
        b"\x93NUMPY" + sound: "an array (.npy)",
        b"version https://git-lfs.github.com/spec/v1": "a pointer of Git LFS",
        sound[:-30]: "it ends early",
        sound[:11]: "it ends early",
        sound[:-1]: "it ends early",
        sound + b"\0\0": "2 bytes follow after its end",
        sound[:-1] + b"N.": "it ends with values that belong nowhere",
        b"\x80\x09.": "it has protocol 9",
        b"\x80\x04\xffabc": "byte 2 is b'\\xff', which is no instruction",
        b"\x80\x04e.": "it is damaged at byte 3",
        b"\x80\x04h\x05.": "it is damaged at byte 4: KeyError",
    }
    for data, told in kinds.items():
        assert told in refused(tmp_path, data)
    with pytest.raises(DataMissingError, match="cannot read"), open_pickle(tmp_path / "none"):
        pass


def test_damage_in_a_text_of_bytes_is_told_where_it_is_read(tmp_path: Path) -> None:
    data = bytearray(pickle.dumps(LARGE, protocol=2))
    two = next(i for i in range(9000, 10000) if data[i] & 0xE0 == 0xC0)
    data[two] = 0xC6  # a letter beyond 255
    damaged = "is damaged: UnicodeEncodeError"
    path = saved(tmp_path, bytes(data))
    with open_pickle(path) as found, pytest.raises(DataConflictError, match=damaged):
        found.read()


def test_a_file_that_becomes_shorter_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path, pickle.dumps(LARGE, protocol=4))
    with open_pickle(path) as found:
        os.truncate(path, 5000)
        with pytest.raises(DataConflictError, match="became shorter meanwhile"):
            found[30:31]


def test_damage_of_any_kind_is_told_and_nothing_else(tmp_path: Path) -> None:
    value = {"features": {"a": VALUES, "b": LARGE}, "ids": ["x", "y"], "o": np.array([None, 1])}
    sound = [pickle.dumps(value, protocol=protocol) for protocol in PROTOCOLS]
    draw = random.Random(0)
    told = 0
    for _ in range(600):
        data = bytearray(draw.choice(sound))
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(min(len(data), 600))
            change = draw.choice(("byte", "byte", "cut", "more"))
            if change == "byte":
                data[place] = draw.randrange(256)
            elif change == "cut":
                del data[place : place + draw.randint(1, 5)]
            else:
                data[place:place] = draw.randbytes(draw.randint(1, 4))
        try:
            with open_pickle(saved(tmp_path, bytes(data))) as found:
                arrays = found.values() if isinstance(found, dict) else ()
                for array in (a for a in arrays if isinstance(a, PickledArray)):
                    assert array.items is not None or array.read().shape == array.shape
        except DataConflictError:
            told += 1
    assert told > 300

"""Pickles of numpy arrays in plain containers, read without running anything that is in them.

A pickle is a program for a small machine, and Python's own lets it import and call whatever it
names. The machine here has no way of calling anything: it knows the instructions that make numbers,
texts and containers, and the few names that numpy writes arrays with. A name is compared as a whole
with its module, and only tells the machine which kind of value to make itself. Pickles of Python 2
and 3 (protocols 0 to 5) and of numpy 1 and 2 are read.

An array is not read, but its place in the file is remembered, so that any part of it can be had
later and a file may be larger than the memory. What a file declares is compared with what it holds
before anything is made of it.
"""

import codecs
import enum
import math
import os
import re
import struct
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import DataConflictError, DataMissingError, printable, reason_of
from ta3n.datasets.reading.folders import quoted


class _Name(enum.Enum):
    """What a name in a pickle stands for."""

    RECONSTRUCT = enum.auto()
    ARRAY = enum.auto()
    DTYPE = enum.auto()
    FROM_BUFFER = enum.auto()
    SCALAR = enum.auto()
    ENCODE = enum.auto()
    DICT = enum.auto()
    CONTAINER = enum.auto()


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy", "ndarray"): _Name.ARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    ("numpy.core.numeric", "_frombuffer"): _Name.FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _Name.FROM_BUFFER,
    ("numpy.core.multiarray", "scalar"): _Name.SCALAR,
    ("numpy._core.multiarray", "scalar"): _Name.SCALAR,
    ("_codecs", "encode"): _Name.ENCODE,
    ("collections", "OrderedDict"): _Name.DICT,
    ("collections", "defaultdict"): _Name.DICT,
    # What a defaultdict says that it makes of what it lacks; nothing here makes it.
    **{(m, n): _Name.CONTAINER for m in ("builtins", "__builtin__") for n in ("list", "dict")},
}
"""All names that are known, each with its module."""

_FOREIGN = {"torch": "tensors by torch.save, or as tensor.numpy()", "pandas": "frame.to_numpy()"}
"""Packages whose objects people keep in pickles -> how to save what is in them."""

_NO_ARRAYS = {
    b"<": "a web page or other text in the place of a pickle or array",
    b"\x1f\x8b": "packed by gzip; unpack it first",
    b"version https://git-lfs": "a pointer of Git LFS, without the file itself",
    b"MATLAB": "of MATLAB; save its arrays as .npy",
}
_OTHER_FORMS = {
    b"PK\x03\x04": "an archive (.zip, .npz or .pt), no pickle",
    b"\x93NUMPY": "an array (.npy), no pickle",
    b"\x89HDF": "an HDF5 file, no pickle",
}

_HIGHEST_PROTOCOL = 5
# Each takes some dozen bytes of memory and as little as one of the file; 5,000,000 are as many ids
# as no data set has.
_MOST_INSTRUCTIONS = 5_000_000
# Longer values stay in the file: they can only be the data of an array.
_LONGEST_VALUE = 4096
_LONGEST_LINE = 64 * 2**20
_MOST_DIGITS = 300
_CHUNK = 2**16
_DTYPE_CODE = re.compile("f[248]|[iu][1248]|b1|O8?|[SU][1-9][0-9]{0,3}")
_MOST_DIMENSIONS = 32
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class _InMemory:
    """A few bytes, or a text of the letters 0 to 255, which is not copied before it is needed."""

    data: bytes | str

    @property
    def size(self) -> int:
        return len(self.data)

    def part(self, start: int, stop: int) -> bytes:
        data = self.data[start:stop]
        return data.encode("latin-1") if isinstance(data, str) else data


@dataclass(frozen=True, slots=True)
class _InFile:
    """Bytes that lie in an open file as they are."""

    file: BinaryIO
    offset: int
    size: int

    def part(self, start: int, stop: int) -> bytearray:
        data = bytearray(stop - start)
        view = memoryview(data)
        while view:  # of one call no more than 2 GiB come
            place = self.offset + stop - len(view)
            num_read = os.preadv(self.file.fileno(), [view], place)
            if num_read == 0:
                raise DataConflictError(f"{quoted(str(self.file.name))} became shorter meanwhile")
            view = view[num_read:]
        return data


@dataclass(slots=True)
class _TextInFile:
    """Bytes written as a text of the letters 0 to 255 in UTF-8, so that some of them take two.

    Where every some thousandth of them begins is found on first use, in one pass.
    """

    raw: _InFile
    _size: int = -1
    # First byte of a chunk -> its place in the file; chunks begin at letters.
    _starts: list[int] = field(default_factory=list)
    _places: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        if self._size < 0:
            self._look_through()
        return self._size

    def part(self, start: int, stop: int) -> bytearray:
        found = bytearray(stop - start)
        if not found or stop > self.size:
            return found
        starts, places = [*self._starts, self.size], [*self._places, self.raw.size]
        for number in range(bisect_right(self._starts, start) - 1, len(self._starts)):
            if (first := starts[number]) >= stop:
                break
            letters = self._letters(places[number], places[number + 1])
            wanted = letters[max(start - first, 0) : stop - first]
            at = max(first - start, 0)
            found[at : at + len(wanted)] = wanted
        return found

    def _letters(self, place: int, end: int) -> bytes:
        try:
            return self.raw.part(place, end).decode("utf-8").encode("latin-1")
        except UnicodeError as error:
            file = quoted(str(self.raw.file.name))
            raise DataConflictError(f"{file} is damaged: {reason_of(error)}") from error

    def _look_through(self) -> None:
        size = 0
        for place in range(0, self.raw.size, _CHUNK):
            stop = min(place + _CHUNK, self.raw.size)
            chunk = np.frombuffer(self.raw.part(place, stop), np.uint8)
            # Of a letter of two bytes, the second is no place to begin at.
            inside = (chunk & 0xC0) == 0x80
            self._starts.append(size)
            self._places.append(place + int(inside[0]))
            size += int(np.count_nonzero(~inside))
        self._size = size


_Data: TypeAlias = _InMemory | _InFile | _TextInFile
"""Bytes of an array, of which each part can be had alone."""


@dataclass(slots=True)
class _Text:
    """A long text that stays in the file: only what encodes it can use it."""

    raw: _InFile


@dataclass(slots=True)
class _Dtype:
    """The form of an array's values, as far as it is told yet."""

    code: str
    order: str = "="

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")

    def numpy(self) -> np.dtype[Any]:
        """Return numpy's name for it."""
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass(slots=True)
class PickledArray:
    """An array in a pickle, or several values of any kind that numpy kept as objects.

    It can be read as long as the file is open.

    Attributes:
        dtype: Form of its values; `object` where `items` holds them.
        items: Of an array of objects, in C order.
    """

    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.int8))
    items: list[Any] | None = None
    _data: _Data = field(default_factory=lambda: _InMemory(b""))
    # As it lies in the file, and which axis of that is the first, the second and so on.
    _stored_shape: tuple[int, ...] = (0,)
    _axes: tuple[int, ...] = (0,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self._stored_shape[axis] for axis in self._axes)

    @property
    def in_order(self) -> bool:
        """Whether it lies in C order, so that parts along its first axis can be read alone."""
        return self._axes == tuple(range(len(self._axes)))

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return a slice without step along the first axis; nothing else of the array is read.

        Raises:
            DataConflictError: The file is damaged there, or changed since it was opened.
        """
        assert self.in_order, "only rows in C order lie together"
        start, stop, _ = rows.indices(self._stored_shape[0])
        inner = self._stored_shape[1:]
        size = math.prod(inner) * self.dtype.itemsize
        return self._values(start * size, stop * size, (max(0, stop - start), *inner))

    def read(self) -> NDArray[Any]:
        """Return all of it.

        Raises:
            DataConflictError: The file is damaged there, or changed since it was opened.
        """
        size = math.prod(self._stored_shape) * self.dtype.itemsize
        return self._values(0, size, self._stored_shape).transpose(self._axes)

    @contextmanager
    def with_rows_together(self, folder: Path) -> Iterator["PickledArray"]:
        """Give the array in C order; one in another order is read and copied to a nameless file.

        Args:
            folder: Where that file may lie.

        Raises:
            OSError: The folder cannot be written.
        """
        if self.in_order:
            yield self
            return
        with tempfile.TemporaryFile(dir=folder) as copy:
            self._copy_to(copy)
            data = _InFile(copy, 0, copy.tell())
            yield PickledArray(self.dtype, None, data, self.shape, tuple(range(len(self.shape))))

    # On its own, so that nothing holds the array while the copy is used.
    def _copy_to(self, file: BinaryIO) -> None:
        for block in self.read():
            file.write(np.ascontiguousarray(block).data)
        file.flush()

    def _values(self, start: int, stop: int, shape: tuple[int, ...]) -> NDArray[Any]:
        assert self.items is None, "objects have no bytes"
        return np.ndarray(shape, self.dtype, self._data.part(start, stop))


def no_arrays(head: bytes) -> str:
    """Return in words what a file is that begins so, where it cannot hold arrays; else nothing."""
    return next((kind for start, kind in _NO_ARRAYS.items() if head.startswith(start)), "")


@contextmanager
def open_pickle(path: Path, start: int = 0, size: int | None = None) -> Iterator[Any]:
    """Give what a pickle holds: plain containers, texts and numbers, and arrays to be read.

    Texts of Python 2 are byte strings, and become texts of their letters (Latin-1).

    Args:
        start: Where in the file it begins.
        size: How many bytes it has; None is all up to the file's end.

    Raises:
        DataMissingError: The file cannot be read.
        DataConflictError: It is no pickle, ends early or goes on after its end, declares what it
            does not hold, or asks for anything else than arrays are made with. None of that is run.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataMissingError(f"cannot read {quoted(path)}: {reason_of(error)}") from error
    with file:
        end = os.fstat(file.fileno()).st_size
        yield _Machine(path, file, start, end if size is None else min(start + size, end)).run()


class _DamagedError(Exception):
    """What is wrong with a pickle."""


class _Machine:
    """The machine that a pickle is a program for, without all that could run something.

    Attributes:
        stack: Values made since the last mark, with those before it in `below`.
        memo: Values by the number that the program gave them.
    """

    def __init__(self, path: Path, file: BinaryIO, start: int, end: int) -> None:
        self.path, self.file = path, file
        self.start, self.end = start, end
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return the value of the program."""
        try:
            self._check_kind()
            for _ in range(_MOST_INSTRUCTIONS):
                code = self.take(1)
                if code == b".":
                    return self._end()
                self._step(code)
            raise _DamagedError(f"it has more than {_MOST_INSTRUCTIONS} instructions")
        except _DamagedError as error:
            raise self._told(str(error)) from error
        except (IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
            # Too few values on the stack, a number that nothing has, a value of another kind.
            place = f"at byte {self.file.tell()}: {reason_of(error)}"
            raise self._told(f"it is damaged {place}") from error

    def _told(self, what: str) -> DataConflictError:
        return DataConflictError(f"{quoted(self.path)} cannot be read: {printable(what)}")

    def _check_kind(self) -> None:
        self.file.seek(self.start)
        head = self.file.read(32)
        self.file.seek(self.start)
        if not head:
            raise _DamagedError("it is empty")
        others = (kind for start, kind in _OTHER_FORMS.items() if head.startswith(start))
        if kind := no_arrays(head) or next(others, ""):
            raise _DamagedError(f"it is {kind}")

    def _end(self) -> Any:
        value = self.stack.pop()
        if self.stack or self.below:
            raise _DamagedError("it ends with values that belong nowhere")
        if left := self.end - self.file.tell():
            raise _DamagedError(f"{left} bytes follow after its end")
        return value

    def _step(self, code: bytes) -> None:
        if code in _VALUES:
            value = _VALUES[code](self)
            self.stack.append(value)
        elif code in _STEPS:
            _STEPS[code](self)
        elif code in _REFUSED:
            raise _DamagedError(
                f"it asks for {_REFUSED[code]}, which no array needs; nothing in it was run"
            )
        else:
            raise _DamagedError(
                f"it is no pickle, or damaged: byte {self.file.tell() - 1} is {code!r}, which is "
                "no instruction"
            )

    # Bytes of the file.

    def take(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) != size:
            raise _DamagedError(f"it ends early, at byte {self.end}; fetch it again")
        return data

    def whole(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def payload(self, size_of_length: int, kind: str) -> Any:
        length = self.whole(size_of_length)
        place = self.file.tell()
        if length > self.end - place:
            raise _DamagedError(
                f"it ends early: {length} bytes are declared at byte {place}, and "
                f"{self.end - place} follow; fetch it again"
            )
        if length > _LONGEST_VALUE:
            raw = _InFile(self.file, place, length)
            self.file.seek(length, os.SEEK_CUR)
            return _Text(raw) if kind == "utf-8" else raw
        data = self.take(length)
        return data if kind == "bytes" else data.decode(kind)

    def line(self) -> bytes:
        line = self.file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            why = "ends early" if len(line) < _LONGEST_LINE else "has too long a line"
            raise _DamagedError(f"it {why}, at byte {self.file.tell()}")
        return line[:-1]

    def decimal(self, line: bytes) -> int:
        if len(line) > _MOST_DIGITS:
            raise _DamagedError(f"a number has {len(line)} digits")
        return int(line)

    def decimal_or_truth(self) -> int:
        line = self.line()
        return line == b"01" if line in (b"00", b"01") else self.decimal(line)

    def quoted_text(self) -> str:
        line = self.line().strip()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
            raise _DamagedError(f"a text at byte {self.file.tell()} is not in quotes")
        data: bytes = codecs.escape_decode(line[1:-1])[0]
        return data.decode("latin-1")

    # Values on the stack.

    def taken(self, count: int) -> list[Any]:
        """Take the last values off the stack."""
        if len(self.stack) < count:
            raise IndexError("too few values")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def to_mark(self) -> list[Any]:
        """Take all values since the last mark off the stack."""
        items, self.stack = self.stack, self.below.pop()
        return items

    # Instructions that make no value.

    def check_protocol(self) -> None:
        if (number := self.take(1)[0]) > _HIGHEST_PROTOCOL:
            raise _DamagedError(f"it has protocol {number}, known are 0 to {_HIGHEST_PROTOCOL}")

    def check_frame(self) -> None:
        length = self.whole(8)
        if length > self.end - self.file.tell():
            raise _DamagedError(
                f"it ends early: a part of {length} bytes is declared, and "
                f"{self.end - self.file.tell()} follow; fetch it again"
            )

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.to_mark()

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("no list to append to")
        self.stack[-1].extend(items)

    def fill(self, items: list[Any]) -> None:
        _filled(self.stack[-1], items)

    def memoize(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def build(self) -> None:
        target, state = self.taken(2)
        self.stack.append(target)
        if isinstance(target, _Dtype):
            _set_dtype(target, state)
        elif isinstance(target, PickledArray):
            _set_array(target, state)
        else:
            raise _DamagedError(f"it gives a {type(target).__name__} a state, which it has none of")


_VALUES: dict[bytes, Callable[[_Machine], object]] = {
    b"N": lambda _: None,
    b"\x88": lambda _: True,
    b"\x89": lambda _: False,
    b"I": _Machine.decimal_or_truth,
    b"L": lambda machine: machine.decimal(machine.line().removesuffix(b"L")),
    b"K": lambda machine: machine.whole(1),
    b"M": lambda machine: machine.whole(2),
    b"J": lambda machine: machine.whole(4, signed=True),
    b"\x8a": lambda machine: machine.whole(machine.whole(1), signed=True),
    b"F": lambda machine: float(machine.line()),
    b"G": lambda machine: struct.unpack(">d", machine.take(8))[0],
    b"S": _Machine.quoted_text,
    b"V": lambda machine: machine.line().decode("raw-unicode-escape"),
    b"U": lambda machine: machine.payload(1, "latin-1"),
    b"T": lambda machine: machine.payload(4, "latin-1"),
    b"\x8c": lambda machine: machine.payload(1, "utf-8"),
    b"X": lambda machine: machine.payload(4, "utf-8"),
    b"\x8d": lambda machine: machine.payload(8, "utf-8"),
    b"C": lambda machine: machine.payload(1, "bytes"),
    b"B": lambda machine: machine.payload(4, "bytes"),
    b"\x8e": lambda machine: machine.payload(8, "bytes"),
    b"\x96": lambda machine: machine.payload(8, "bytes"),
    b"]": lambda _: [],
    b"}": lambda _: {},
    b")": lambda _: (),
    b"l": _Machine.to_mark,
    b"d": lambda machine: _filled({}, machine.to_mark()),
    b"t": lambda machine: tuple(machine.to_mark()),
    b"\x85": lambda machine: tuple(machine.taken(1)),
    b"\x86": lambda machine: tuple(machine.taken(2)),
    b"\x87": lambda machine: tuple(machine.taken(3)),
    b"2": lambda machine: machine.stack[-1],
    b"g": lambda machine: machine.memo[machine.decimal(machine.line())],
    b"h": lambda machine: machine.memo[machine.whole(1)],
    b"j": lambda machine: machine.memo[machine.whole(4)],
    b"c": lambda machine: _named(machine.line().decode(), machine.line().decode()),
    b"\x93": lambda machine: _named(*machine.taken(2)),
    b"R": lambda machine: _made(*machine.taken(2)),
}
"""Instruction -> the value that it puts on the stack."""

_STEPS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": _Machine.check_protocol,
    b"\x95": _Machine.check_frame,
    b"(": _Machine.mark,
    b"0": _Machine.pop,
    b"1": _Machine.to_mark,
    b"a": lambda machine: machine.extend(machine.taken(1)),
    b"e": lambda machine: machine.extend(machine.to_mark()),
    b"s": lambda machine: machine.fill(machine.taken(2)),
    b"u": lambda machine: machine.fill(machine.to_mark()),
    b"\x94": lambda machine: machine.memoize(len(machine.memo)),
    b"p": lambda machine: machine.memoize(machine.decimal(machine.line())),
    b"q": lambda machine: machine.memoize(machine.whole(1)),
    b"r": lambda machine: machine.memoize(machine.whole(4)),
    b"b": _Machine.build,
}
"""Instruction -> what it does with the values that are there."""

_REFUSED = {
    b"P": "an object by its persistent id",
    b"Q": "an object by its persistent id",
    b"\x82": "an object by its extension code",
    b"\x83": "an object by its extension code",
    b"\x84": "an object by its extension code",
    b"i": "an object of a class",
    b"o": "an object of a class",
    b"\x81": "an object of a class",
    b"\x92": "an object of a class",
    b"\x97": "a buffer outside of the file",
    b"\x98": "a buffer outside of the file",
    b"\x8b": "a number of any length",
    b"\x8f": "a set",
    b"\x90": "a set",
    b"\x91": "a set",
}
"""Instruction -> what it would make, which is not to be had here."""


def _filled(target: Any, items: list[Any]) -> dict[Any, Any]:
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("no pairs, or no dict to put them in")
    target.update(zip(map(_key, items[::2]), items[1::2], strict=True))
    return target


def _key(value: Any) -> Any:
    """Return a key of a dict: of deep tuples not even the hash is safe."""
    if value is not None and not isinstance(value, str | bytes | int | float):
        raise _DamagedError(f"a key is a {type(value).__name__}, not a text or number")
    return value


def _named(module: Any, name: Any) -> _Name:
    if not isinstance(module, str) or not isinstance(name, str):
        raise _DamagedError("a name is no text")
    found = _NAMES.get((module, name))
    if found is None:
        shown = f"{module}.{name}"[:_SHOWN]
        way_out = _FOREIGN.get(module.partition(".")[0])
        raise _DamagedError(
            f"it asks for {shown}, which no array needs; nothing in it was run, and "
            + (f"it can be saved so: {way_out}" if way_out else "nothing in it is to be trusted")
        )
    return found


def _made(name: Any, args: Any) -> Any:
    """Return the value that a function of numpy would make."""
    if not isinstance(name, _Name) or not isinstance(args, tuple):
        raise _DamagedError("it calls what is no function")
    if name is _Name.ENCODE:
        return _encoded(*args)
    if name is _Name.DTYPE:
        return _new_dtype(*args)
    if name is _Name.FROM_BUFFER:
        return _from_buffer(*args)
    if name is _Name.SCALAR:
        return _scalar(*args)
    if name is _Name.DICT:
        return _new_dict(args)
    if name is _Name.RECONSTRUCT and args[:1] == (_Name.ARRAY,):
        return PickledArray()
    raise _DamagedError("it makes an array otherwise than numpy writes one")


def _encoded(text: Any, encoding: Any) -> Any:
    if encoding != "latin1":
        raise _DamagedError("it encodes a text otherwise than as bytes (latin1)")
    if isinstance(text, _Text):
        return _TextInFile(text.raw)
    if not isinstance(text, str) or max(map(ord, text), default=0) > 255:
        raise _DamagedError("it encodes what is no text of bytes")
    return _InMemory(text)


def _new_dict(args: tuple[Any, ...]) -> dict[Any, Any]:
    """Return a dict as the standard library's other kinds begin: empty, or with listed pairs."""
    if not args or args == (_Name.CONTAINER,):
        return {}
    (pairs,) = args
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise _DamagedError("it makes a dict otherwise than Python writes one")
    return _filled({}, [one for pair in pairs for one in pair])


def _scalar(dtype: Any, data: Any) -> Any:
    """Return a number or text that numpy kept as a value of an array."""
    value = PickledArray()
    _fill(value, dtype, (), (), data)
    if value.items is not None:
        raise _DamagedError("it makes a number of an object")
    return value.read().item()


def _new_dtype(code: Any, *_: Any) -> _Dtype:
    if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
        shown = code[:_SHOWN] if isinstance(code, str) else type(code).__name__
        raise _DamagedError(
            f"an array has values of form '{shown}'; known are floats, whole numbers and texts"
        )
    return _Dtype(code)


def _set_dtype(target: _Dtype, state: Any) -> None:
    version, order, *rest = state
    if len(rest) != 6 or rest[:3] != [None, None, None]:
        raise _DamagedError("an array has several fields, or arrays, in each value")
    if version != 3 or order not in ("<", ">", "=", "|"):
        raise _DamagedError("the form of an array's values is not as numpy writes it")
    target.order = order


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> PickledArray:
    array = PickledArray()
    shape = _checked_shape(shape)
    if order == "K" and axes is not None:
        axes = _checked_shape(axes)
        if sorted(axes) != list(range(len(shape))):
            raise _DamagedError("the axes of an array are not told")
        _fill(array, dtype, shape, axes, data)
    elif order in ("C", "F"):
        _fill(array, dtype, *_laid_out(shape, in_fortran_order=order == "F"), data)
    else:
        raise _DamagedError("the order of an array's values is not told")
    return array


def _set_array(target: PickledArray, state: Any) -> None:
    _, shape, dtype, is_fortran, data = state
    layout = _laid_out(_checked_shape(shape), in_fortran_order=bool(is_fortran))
    _fill(target, dtype, *layout, data)


def _checked_shape(shape: Any) -> tuple[int, ...]:
    numbers = shape if isinstance(shape, tuple) and len(shape) <= _MOST_DIMENSIONS else (None,)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise _DamagedError("the shape of an array is no tuple of lengths")
    return numbers


def _laid_out(
    shape: tuple[int, ...], *, in_fortran_order: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape as it lies in the file, and the axes in the order that they should have."""
    axes = tuple(range(len(shape)))
    return (shape[::-1], axes[::-1]) if in_fortran_order else (shape, axes)


def _fill(
    target: PickledArray, dtype: Any, shape: tuple[int, ...], axes: tuple[int, ...], data: Any
) -> None:
    """Give an array its values, once they are as many as it declares."""
    if not isinstance(dtype, _Dtype):
        raise _DamagedError("the form of an array's values is not told")
    target.dtype, num_values = dtype.numpy(), math.prod(shape)
    if dtype.is_object:
        if not isinstance(data, list) or len(data) != num_values:
            raise _mismatched(shape, target.dtype, len(data), "objects")
        target.items = data
    else:
        if isinstance(data, str):  # of Python 2
            data = _encoded(data, "latin1")
        if isinstance(data, bytes):
            data = _InMemory(data)
        if not isinstance(data, _Data):
            raise _DamagedError("the values of an array are no bytes")
        if data.size != num_values * target.dtype.itemsize:
            raise _mismatched(shape, target.dtype, data.size, "bytes")
        target.items, target._data = None, data
    target._stored_shape, target._axes = shape, axes


def _mismatched(
    shape: tuple[int, ...], dtype: np.dtype[Any], there: int, what: str
) -> _DamagedError:
    return _DamagedError(
        f"an array of shape {list(shape)} of {dtype} is declared, but {there} {what} of it are "
        "there"
    )

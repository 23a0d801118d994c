"""Things that register themselves, found by the file that they are in, and plug-ins of a user.

A registry belongs to a package: each of its modules registers what it holds when it is imported,
which happens when a name is asked for. Nothing is listed anywhere else.
"""

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ta3n.common.errors import Ta3nError, UsageError, did_you_mean
from ta3n.common.files import expand_home, sha256_of


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def rank(self) -> int: ...


T = TypeVar("T", bound=_Named)


_REGISTRIES: "list[Registry[Any]]" = []


class Registry(Generic[T]):
    """What the modules of a package, and plug-ins, have registered.

    Args:
        option: Where one of them is asked for: it stands in messages.
        package: Whose modules register something.
    """

    def __init__(self, option: str, package: str) -> None:
        self._option = option
        self._package = package
        self._items: dict[str, T] = {}
        self._plugins: dict[str, str] = {}
        self._is_complete = False
        _REGISTRIES.append(self)

    def register(self, item: T) -> T:
        """Add something by its name, and return it.

        Raises:
            UsageError: If the name is taken by something else.
        """
        self._plugins.setdefault(item.name, plugin_being_loaded())
        if self._items.setdefault(item.name, item) is not item:
            raise UsageError(
                f"{self._option} {item.name!r} is registered twice; rename one of them"
            )
        return item

    def all(self) -> dict[str, T]:
        """Return everything by its name, in order of rank and name."""
        if not self._is_complete:
            for module in self._modules():
                importlib.import_module(f"{self._package}.{module.name}")
            self._is_complete = True
        ordered = sorted(self._items.values(), key=lambda item: (item.rank, item.name))
        return {item.name: item for item in ordered}

    def _modules(self) -> Iterator[pkgutil.ModuleInfo]:
        return pkgutil.iter_modules(importlib.import_module(self._package).__path__)

    def plugin_of(self, name: str) -> str:
        """Return the file of the plug-in that registered a name; empty for our own."""
        return self._plugins.get(name, "")

    def find(self, name: str) -> T:
        """Return what has a name.

        Raises:
            UsageError: If there is nothing of that name.
        """
        if name not in self._items and not self._is_complete:
            module = name.replace("-", "_")
            if module in {found.name for found in self._modules()}:
                importlib.import_module(f"{self._package}.{module}")
        if name not in self._items and name not in self.all():
            known = list(self.all())
            raise UsageError(
                f"{self._option} {name!r} is not known{did_you_mean(name, known)};"
                f" choose one of {', '.join(known)}"
            )
        return self._items[name]


_PLUGINS: dict[str, str] = {}
"""Plug-ins of this process as they were named -> as other processes find them."""
_LOADING: list[str] = []


def load_plugins(plugins: Iterable[str]) -> None:
    """Import modules that Python finds, or files `NAME.py`, that register something, each once.

    Raises:
        UsageError: If there is no such file or module, or it cannot be imported.
    """
    for plugin in plugins:
        if plugin not in _PLUGINS:
            # What is ours comes first: imported by a plug-in, it would count as the plug-in's.
            for registry in _REGISTRIES:
                registry.all()
            _PLUGINS[plugin] = _load(plugin)


def plugin_being_loaded() -> str:
    """Return the file of the plug-in that is being imported, or an empty string."""
    return _LOADING[-1] if _LOADING else ""


def loaded_plugins() -> tuple[str, ...]:
    """Return the plug-ins of this process, files by their whole path: other processes need them."""
    return tuple(_PLUGINS.values())


def _load(plugin: str) -> str:
    if plugin.endswith(".py"):
        path = expand_home(Path(plugin)).resolve()
        if not path.is_file():
            raise UsageError(f"no plugin file {path}")
        name = f"ta3n_plugin_{path.stem}_{sha256_of(str(path).encode())[:8]}"
        spec, found = importlib.util.spec_from_file_location(name, path), str(path)
    else:
        # In a settings file it was taken for a path beside it.
        name = found = Path(plugin).name
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            spec = None
    if spec is None or spec.loader is None:
        raise UsageError(f"No module named {name!r}; --plugin takes one, or a .py file")
    if name not in sys.modules:
        _import(spec, spec.loader)
    return found


def _import(spec: ModuleSpec, loader: Loader) -> None:
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    _LOADING.append(spec.origin or "")
    try:
        loader.exec_module(sys.modules[spec.name])
    except Exception as error:
        del sys.modules[spec.name]
        if isinstance(error, Ta3nError):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == spec.origin]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1]
        what = f"{type(error).__name__}: {error}"
        raise UsageError(f"plugin {spec.origin}, line {line}: {what}") from error
    finally:
        _LOADING.pop()

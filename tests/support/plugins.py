"""Methods and temporal modules that are known for one test only."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest

from ta3n.common import registry
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.methods import registry as methods


@cache
def _built_in() -> tuple[tuple[Any, str, dict[str, Any]], ...]:
    """Return what is known without any plug-in, and where."""
    methods.METHODS.all()
    ENCODERS.all()
    places = (
        (methods.METHODS, "_items"),
        (ENCODERS, "_items"),
        (methods, "_TERMS"),
        (methods, "_CLOSED_FORMS"),
        (methods, "_PLUGIN_OF"),
    )
    return tuple((owner, name, dict(getattr(owner, name))) for owner, name in places)


@contextmanager
def forgotten_afterwards() -> Iterator[None]:
    """Begin without plug-ins, and let what they register within be unknown again at the end."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, known in _built_in():
            patch.setattr(owner, name, dict(known))
        patch.setattr(registry, "_PLUGINS", {})
        for name in [name for name in sys.modules if name.startswith("ta3n_plugin_")]:
            patch.delitem(sys.modules, name)
        yield

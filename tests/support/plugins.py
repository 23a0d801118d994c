"""Methods and temporal modules that are known for one test only."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ta3n.common import registry
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.methods import registry as methods


@contextmanager
def forgotten_afterwards() -> Iterator[None]:
    """Let what plug-ins register within be unknown again at the end."""
    methods.METHODS.all()
    ENCODERS.all()
    with pytest.MonkeyPatch.context() as patch:
        for known in (methods.METHODS, ENCODERS):
            patch.setattr(known, "_items", dict(known._items))
        patch.setattr(methods, "_TERMS", dict(methods._TERMS))
        patch.setattr(registry, "_PLUGINS", {})
        yield

"""Source only: the lower bound of every table."""

from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import register_method

SOURCE_ONLY = register_method(
    Method(name="source-only", label="Source only", source="Tables 2 and 3", rank=2)
)

"""Target only: trained on the labels of the target, the upper bound of every table."""

from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import register_method

TARGET_ONLY = register_method(
    Method(name="target-only", label="Target only", source="Table 3", trains_on="target", rank=1)
)

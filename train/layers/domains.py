"""Which rows of a batch are of which domain.

Shapes: B_S source and B_T target videos, the source first; M sources.
"""

import torch
from torch import Tensor


def source_shares(count: int, num_sources: int) -> list[int]:
    """Return how many of the source videos of a batch are of each source: the first have one more.

    Args:
        count: B_S.
        num_sources: M.
    """
    base, more = divmod(count, num_sources)
    return [base + (n < more) for n in range(num_sources)]


def by_domain(rows: Tensor, num_source: int, num_domains: int) -> list[Tensor]:
    """Split rows [B_S + B_T, ...] of a batch by domain: each source by itself, the target last.

    Args:
        num_source: B_S.
        num_domains: 2 where all sources count as one, else M + 1.
    """
    shares = source_shares(num_source, num_domains - 1)
    return list(torch.split(rows, [*shares, len(rows) - num_source]))

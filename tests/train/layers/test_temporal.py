"""Which frames a relation looks at, and that the batched relation is the plain one."""

from itertools import combinations
from math import comb

import pytest
import torch

from ta3n.train.layers.normalisation import Domains
from ta3n.train.layers.temporal import TemPooling, TemRelation, relation_subsets
from ta3n.train.model.model import TA3N, ModelSpec


def test_subsets_of_five_segments_by_hand() -> None:
    assert relation_subsets(5, 5, 3) == ((0, 1, 2, 3, 4),)
    assert relation_subsets(5, 4, 3) == ((0, 1, 2, 3), (0, 1, 3, 4), (1, 2, 3, 4))
    assert relation_subsets(5, 3, 3) == ((0, 1, 2), (0, 2, 4), (1, 2, 4))
    assert relation_subsets(5, 2, 3) == ((0, 1), (1, 2), (2, 3))


@pytest.mark.parametrize("num_segments", range(2, 9))
@pytest.mark.parametrize("max_subsets", [1, 3, 1000])
def test_subsets_are_spread_over_the_lexicographic_list(
    num_segments: int, max_subsets: int
) -> None:
    for n in range(2, num_segments + 1):
        everything = list(combinations(range(num_segments), n))
        count = min(max_subsets, len(everything))
        numbers = [-((-i * len(everything)) // count) for i in range(count)]
        expected = tuple(everything[number] for number in numbers)
        assert relation_subsets(num_segments, n, max_subsets) == expected


def test_twenty_five_segments_need_no_list_of_millions_of_subsets() -> None:
    subsets = relation_subsets(25, 12, 3)
    assert comb(25, 12) == 5_200_300
    assert subsets[0] == tuple(range(12))
    for subset in subsets:
        assert list(subset) == sorted(set(subset) & set(range(25)))


def test_sixty_four_segments_are_chosen_by_their_place_alone() -> None:
    first, middle, last = relation_subsets(64, 32, 3)
    # Of 10^18 subsets: where each lies is counted back, by those that begin below it.
    for rank, subset in zip((0, 1, 2), (first, middle, last), strict=True):
        before = 0
        for place, frame in enumerate(subset):
            start = subset[place - 1] + 1 if place else 0
            before += sum(comb(63 - skipped, 31 - place) for skipped in range(start, frame))
        assert before == -(-rank * comb(64, 32) // 3)


def test_pooling_is_the_mean_over_frames() -> None:
    frames = torch.arange(12.0).reshape(1, 3, 4)
    assert torch.equal(TemPooling()(frames, Domains(0)), torch.tensor([[4.0, 5, 6, 7]]))


def make_relations(num_segments: int) -> TemRelation:
    spec = ModelSpec(
        num_classes=2, feature_dim=3, num_segments=num_segments, hidden_dim=4, relation_dim=6
    )
    encoder = TA3N(spec, torch.Generator().manual_seed(0)).double().encoder
    assert isinstance(encoder, TemRelation)
    return encoder


@pytest.mark.parametrize("num_segments", [2, 5, 8])
def test_batched_relations_equal_a_plain_loop(num_segments: int) -> None:
    relations = make_relations(num_segments)
    frames = torch.randn(3, num_segments, 4, dtype=torch.float64)
    rows = []
    for n in range(num_segments, 1, -1):
        fused = []
        for subset in relation_subsets(num_segments, n, 3):
            chosen = torch.cat([frames[:, t] for t in subset], dim=1)
            fused.append(relations.get_submodule(str(n)).get_submodule("fc")(chosen.relu()).relu())
        rows.append(torch.stack(fused).sum(dim=0))
    torch.testing.assert_close(
        relations(frames, Domains(0)), torch.stack(rows, dim=1), rtol=1e-12, atol=1e-15
    )


def test_relations_and_their_logits_come_in_the_order_from_many_frames_to_two() -> None:
    relations = make_relations(4)
    assert [name for name, _ in relations.named_children()] == ["4", "3", "2"]
    values = torch.randn(2, 3, 6, dtype=torch.float64)
    logits = relations.domain_logits(values, 1.0)
    last = relations.get_submodule("2").get_submodule("discriminator")(values[:, 2], 1.0)
    assert torch.equal(logits[:, 2], last)

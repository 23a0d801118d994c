"""Source-free objectives are those of the published program, and their labels too."""

from pathlib import Path

import pytest
import torch

from ta3n.train.methods.shot import centroid_labels

from ...support.objectives import cases, inputs_of

LABELS = (
    "cosine/14",
    "euclidean/14",
    "cosine/threshold3/14",
    "cosine/30x6",
    "atcon/14",
    "atcon/30x6",
)


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_those_of_the_reference_after_each_round(shared: Path, name: str) -> None:
    case = cases(shared)[f"shot/labels/{name}"]
    inputs, expected = inputs_of(case), case["outputs"]
    features, probabilities = inputs["features"], inputs["logits"].softmax(dim=1)
    settings = {key: case["parameters"][key] for key in ("threshold", "distance")}
    settings["keeps_classes"] = name.startswith("atcon")
    found = [
        centroid_labels(features, probabilities, rounds=rounds, **settings).tolist()
        for rounds in range(3)
    ]
    assert found[2] == expected["labels"]
    if "labels_after_round_1" in expected:
        assert found[:2] == [expected["argmax"], expected["labels_after_round_1"]]


def test_without_any_class_of_enough_videos_predictions_stand() -> None:
    features = torch.eye(3, dtype=torch.float64)
    probabilities = torch.tensor([[0.6, 0.4], [0.4, 0.6], [0.7, 0.3]], dtype=torch.float64)
    labels = centroid_labels(features, probabilities, threshold=3)
    assert labels.tolist() == [0, 1, 0]


def test_a_video_without_features_has_a_label() -> None:
    labels = centroid_labels(torch.zeros(2, 3), torch.tensor([[0.6, 0.4], [0.4, 0.6]]))
    assert set(labels.tolist()) <= {0, 1}

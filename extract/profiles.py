"""The profiles: how a frame becomes the network's input, and in which precision it runs.

Nothing heavy is imported here: a finished folder is recognised in a moment.
"""

from ta3n.common.errors import UsageError
from ta3n.extract.backbones import Backbone

IMAGE_SIZE = 224
"""Side of the square crop in pixels, the same for all profiles."""


def check_profile(profile: str, backbone: Backbone) -> None:
    """Refuse a profile that a backbone does not have.

    Raises:
        UsageError: If the weights' own transform is asked for, and torchvision knows none.
    """
    if profile == "torchvision" and backbone.packaged_in is not None:
        raise UsageError(
            f"profile torchvision is the transform that torchvision gives with its weights, but "
            f"{backbone.name} is not torchvision's; use profile ta3n or fast"
        )

"""The pictures of a direction, each with a caption and how to read it."""

from dataclasses import dataclass, field

from ta3n.train.report.figures.look import Panel


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Panels that belong together.

    Attributes:
        heading: What they are about.
        caption: What is shown.
        reading: How to read it, and what it does not show.
        panels: At least one.
    """

    heading: str
    caption: str
    reading: str
    panels: tuple[Panel, ...]


@dataclass(kw_only=True)
class Gallery:
    """All pictures that could be drawn.

    Attributes:
        pictures: In the order of the page.
        missing: Why others could not, a line each.
    """

    pictures: list[Picture] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add(self, picture: Picture) -> None:
        """Put a picture at the end."""
        self.pictures.append(picture)

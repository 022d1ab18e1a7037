"""Pictures about which several questions are asked: a model looks at each of them once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from api_cli.relevance import Prepared

if TYPE_CHECKING:
    import torch


class Shared(NamedTuple):
    """The pictures of a batch, each once.

    Attributes:
        pixels: of P pictures, (3, H, W) each.
        owner: for each of B questions the picture it is about, from 0 to P - 1.
        knows_first: whether the first picture was known.
    """

    pixels: list[torch.Tensor]
    owner: list[int]
    knows_first: bool

    @property
    def new(self) -> list[torch.Tensor]:
        """Pixels of the pictures that were not known."""
        return self.pixels[1:] if self.knows_first else self.pixels

    @property
    def is_one_each(self) -> bool:
        """Whether question b is about picture b, so that nothing need be repeated."""
        return self.owner == list(range(len(self.pixels)))


def share_pictures(images: Sequence[Prepared], known: torch.Tensor | None = None) -> Shared:
    """Find the images of a batch that are one picture: those that hold the same tensor.

    Args:
        images: one a question.
        known: the pixels of a picture that the model has just seen, if any. It comes first where
            it is among the images; a group of questions may lie in two batches.
    """
    knows_first = any(image.pixels is known for image in images)
    pixels = {id(known): known} if known is not None and knows_first else {}
    for image in images:
        pixels.setdefault(id(image.pixels), image.pixels)
    places = {identity: place for place, identity in enumerate(pixels)}
    owner = [places[id(image.pixels)] for image in images]
    return Shared(list(pixels.values()), owner, knows_first)

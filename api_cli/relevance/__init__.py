"""Auxiliary models: images and questions in, relevance maps out.

A model is one file here with one class that has the three members of `RelevanceModel`. It knows
nothing of datasets or run folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from PIL import Image

from api_cli.masking import Array
from api_cli.relevance.fit import GridPart

if TYPE_CHECKING:
    import torch


class Prepared(NamedTuple):
    """An image as the model sees it.

    Attributes:
        pixels: (3, H, W) float32, normalised.
        part: which part of the patch grid shows the image.
    """

    pixels: torch.Tensor
    part: GridPart


class RelevanceModel(Protocol):
    """What the pipeline asks of an auxiliary model."""

    @property
    def number_of_layers(self) -> int:
        """Layers that can be read, counted from 0."""
        ...

    @property
    def default_batch_size(self) -> int:
        """Images a forward pass on its device, where nobody says otherwise; may be too many."""
        ...

    def prepare(self, image: Image.Image) -> Prepared:
        """Preprocess an RGB image; called from several threads at once."""
        ...

    def relevance(
        self, images: Sequence[Prepared], questions: Sequence[str], layers: Sequence[int]
    ) -> list[Array]:
        """Maps of a batch from one forward pass.

        Returns:
            For each image a float32 array (len(layers), M, h, w): M maps a layer (CLIP 2,
            LLaVA 1) over the h x w patches that show the image.
        """
        ...


def cut(maps: Array, part: GridPart) -> Array:
    """The part of maps (..., G, G) that shows the image: (..., h, w)."""
    return maps[..., slice(*part.rows), slice(*part.columns)]

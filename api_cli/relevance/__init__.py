"""Auxiliary models: images and questions in, relevance maps out.

A model is a folder here: `checkpoint.py` finds it (`Checkpoint`), `model.py` reads it
(`RelevanceModel`), `auxiliary.py` says to a run what it is (`Auxiliary`) without importing either.
It knows nothing of datasets or run folders. `auxiliaries.py` is the table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from PIL import Image

from api_cli.masking import Array, Method
from api_cli.relevance.fit import GridPart

if TYPE_CHECKING:
    import torch


class Read(NamedTuple):
    """What a model is asked for beside picture and question: one map.

    A layer's number alone, where a `Reads` may stand, is the layer read as METHOD.md has it.

    Attributes:
        layer: from 0.
        softmax: of attention: "image", over the image's tokens alone, or "all", over all tokens,
            the image's part kept.
        tokens: weights of the passes that count: "even"; "linear", t for the pass of the t-th
            token; "first", the prompt's pass alone; "prompt", the same of a question that is not
            answered.
        head: that alone, from 0; None for the mean of all.
    """

    layer: int
    softmax: str = "image"
    tokens: str = "even"
    head: int | None = None

    @property
    def of_prompt(self) -> Read:
        """The same of a question that is not answered."""
        return self._replace(tokens="prompt")


Reads = Sequence[Read | int]


def as_reads(reads: Reads) -> list[Read]:
    """Reads, layers' numbers among them made such."""
    return [Read(read) if isinstance(read, int) else read for read in reads]


class Prepared(NamedTuple):
    """An image as the model sees it; several questions about it share one.

    Attributes:
        pixels: (3, H, W) float32, normalised.
        part: which part of the patch grid shows the image.
        more: what else the model's own `prepare` found out, for its `relevance`.
    """

    pixels: torch.Tensor
    part: GridPart
    more: Any = None


class Relevance(NamedTuple):
    """What a model finds out about an image and a question.

    Attributes:
        maps: (R, M, h, w) float32: M maps (CLIP 2, others 1) for each of R reads, over the h x w
            patches that show the image.
        facts: what else is worth a place in the manifest, JSON-serialisable, by name; LLaVA's own
            answer.
    """

    maps: Array
    facts: Mapping[str, Any]


class Checkpoint(Protocol):
    """A model that was found but not yet loaded."""

    @property
    def short_name(self) -> str:
        """As part of a folder's name."""
        ...

    @property
    def number_of_layers(self) -> int:
        """Layers that can be read, counted from 0."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid; (0, 0) where pictures have their own.

        Maps then show the whole picture, whatever their size.
        """
        ...

    @property
    def default_layer(self) -> int:
        """The layer read where nobody says otherwise; negative counts from the end."""
        ...

    @property
    def precision(self) -> str:
        """Of the forward pass where nobody says otherwise."""
        ...

    @property
    def identity(self) -> str:
        """Digest of the weights; they are downloaded where necessary."""
        ...

    @property
    def weights_files(self) -> Sequence[Path]:
        """The files that were digested."""
        ...


class RelevanceModel(Protocol):
    """What the pipeline asks of an auxiliary model."""

    @property
    def default_batch_size(self) -> int:
        """Samples a batch on its device, to begin with; may be too many, or fewer than fit."""
        ...

    def prepare(self, image: Image.Image) -> Prepared:
        """Preprocess an RGB image; called from several threads at once."""
        ...

    def relevance(
        self,
        images: Sequence[Prepared],
        questions: Sequence[str],
        reads: Reads,
        unanswered: Collection[int] = (),
    ) -> list[Relevance]:
        """What the model finds out about a batch: maps of len(reads) reads for each image.

        Images that hold the same pixels are one picture, which a model need see but once; so are
        those of two batches that follow each other.

        Args:
            images: B images from `prepare`.
            questions: one about each.
            reads: what is read; layers' numbers, or more.
            unanswered: indices of questions that need no answer: their prompt's pass alone is
                read, and there are no facts.
        """
        ...


class Auxiliary(NamedTuple):
    """The model that a command was told to use, not yet looked for.

    Attributes:
        method: what is made of its maps.
        words: method, model name and what else it was asked for with.
        find: finds it, without loading it; the same one each time.
        load: loads it, to run in a precision.
        asked: what else determines its maps: prompt, length of the answer, ...
    """

    method: Method
    words: tuple[str, ...]
    find: Callable[[], Checkpoint]
    load: Callable[[str], RelevanceModel]
    asked: Mapping[str, Any]

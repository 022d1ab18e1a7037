"""The table of families of vision-language models: how each lays out a picture's tokens.

A family is a row here, by its configuration's `model_type`, and one function from what its
processor made of a picture to views. What a function returns is checked when a model is loaded,
without its weights, against the number of image tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from api_cli.relevance.llava.views import View, whole_grid


class Seen(NamedTuple):
    """What is known of a picture after the processor has had it.

    Attributes:
        processor: the model's.
        config: the model's.
        outputs: of the processor for one prompt with this one picture, tensors by name.
        size: width and height of the picture.
        tokens: image tokens in the prompt.
    """

    processor: Any
    config: Any
    outputs: Mapping[str, Any]
    size: tuple[int, int]
    tokens: int


class Family(NamedTuple):
    """What differs between families.

    Attributes:
        views: of a picture's image tokens.
        options: of the image processor, for pictures of at most so many pixels: from processor,
            (width, height) and that number. None where a family sees every picture in one size.
        rows_end: whether a further image token ends each row of the last view.
        since: the transformers version that has it first; "" where the lowest allowed one does.
        shareable: whether what is read of a picture is the same whatever is asked of it.
        text: what its processor makes of a prompt before it is tokenised, and its tokenizer alone
            does not; from the prompt and the tokenizer.
        template: of prompts, where the model has no chat template.
        counted: the tensor that counts patches of `pixel_values` through all pictures of a batch.
    """

    views: Callable[[Seen], list[View]]
    options: Callable[[Any, tuple[int, int], int], dict[str, Any]] | None = None
    rows_end: bool = False
    since: str = ""
    shareable: bool = True
    text: Callable[[str, Any], str] | None = None
    template: str | None = None
    counted: str | None = None


def thw_views(seen: Seen) -> list[View]:
    """One grid, merged from patches, over the whole picture (Qwen-VL, GLM-V)."""
    merge = seen.processor.image_processor.merge_size
    height, width = (int(n) // merge for n in seen.outputs["image_grid_thw"][0][1:])
    return [whole_grid(height, width)]


def resized_views(seen: Seen) -> list[View]:
    """One grid, of as many patches as the resized picture has (Pixtral)."""
    processor = seen.processor
    cell = processor.patch_size * processor.spatial_merge_size
    height, width = (int(n) // cell for n in seen.outputs["image_sizes"][0])
    return [whole_grid(height, width)]


def square_views(seen: Seen) -> list[View]:
    """One square grid over the picture, which is squashed to it (Gemma 3, PaliGemma)."""
    side = math.isqrt(seen.tokens)
    return [whole_grid(side, side)]


def internvl_views(seen: Seen) -> list[View]:
    """Tiles of a canvas that the picture is squashed to, then a thumbnail (InternVL)."""
    from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

    images = seen.processor.image_processor
    width, height = seen.size
    columns, rows = get_optimal_tiled_canvas(
        (height, width),
        (images.size["height"], images.size["width"]),
        images.min_patches,
        images.max_patches,
    )
    tiled = columns * rows > 1 and len(seen.outputs["pixel_values"]) > 1
    return _tiles(rows, columns, seen.processor.image_seq_length, tiled, True)


def idefics_views(seen: Seen) -> list[View]:
    """Tiles of a canvas that the picture is squashed to, then the whole of it (Idefics3)."""
    width, height = seen.size
    _, rows, columns = seen.processor.image_processor.get_number_of_image_patches(height, width, {})
    return _tiles(rows, columns, seen.processor.image_seq_len, rows * columns > 0, True)


def _tiles(rows: int, columns: int, length: int, tiled: bool, thumbnail: bool) -> list[View]:
    """Square tiles of `length` tokens, row by row; then the whole picture as another."""
    side = math.isqrt(length)
    if not tiled:
        return [whole_grid(side, side)]
    order = whole_grid(rows * columns * side, side).tokens.reshape(rows, columns, side, side)
    tiles = whole_grid(1, 1)._replace(
        tokens=order.transpose(0, 2, 1, 3).reshape(rows * side, columns * side)
    )
    return [tiles, whole_grid(side, side, order.size)] if thumbnail else [tiles]


def llava_next_views(seen: Seen) -> list[View]:
    """A thumbnail, then tiles without what only pads them, a token after each row (LLaVA-NeXT)."""
    from transformers.image_processing_utils import select_best_resolution

    vision, (width, height) = seen.config.vision_config, seen.size
    side, tile = vision.image_size // vision.patch_size, vision.image_size
    pinpoints = seen.config.image_grid_pinpoints
    canvas = [int(n) for n in select_best_resolution((height, width), pinpoints)]
    scale_y, scale_x = canvas[0] / height, canvas[1] / width
    shown = (
        (min(math.ceil(height * scale_x), canvas[0]), canvas[1])
        if scale_x < scale_y
        else (canvas[0], min(math.ceil(width * scale_y), canvas[1]))
    )
    cells = [canvas[0] // tile * side, canvas[1] // tile * side]
    cut = [0, 0]  # whole cells that are dropped at either end, as transformers' unpad_image does
    across = width / height > cells[1] / cells[0]
    axis = 0 if across else 1
    scaled = height * (cells[1] / width) if across else width * (cells[0] / height)
    cut[axis] = (cells[axis] - int(round(scaled, 7))) // 2
    left = [cells[i] - 2 * cut[i] for i in (0, 1)]
    edges = []
    for i in (0, 1):
        offset, cell = (canvas[i] - shown[i]) // 2, canvas[i] / cells[i]
        edges.append([(n * cell - offset) / shown[i] for n in (cut[i], cells[i] - cut[i])])
    (y0, y1), (x0, x1) = edges
    most = getattr(seen.config, "vision_aspect_ratio", "").removeprefix("anyres_max_")
    if most.isdigit():  # LLaVA-OneVision
        ratio = math.sqrt(left[0] * left[1] / (int(most) * side**2))
        if ratio > 1.1:
            left = [int(n // ratio) for n in left]
    rows = whole_grid(left[0], left[1] + 1, side * side).tokens[:, :-1]
    return [whole_grid(side, side), View(rows, (x0, y0, x1, y1))]


def molmo_views(seen: Seen) -> list[View]:
    """A thumbnail, then a grid of finer cells; either may stand out by padding (Molmo2)."""
    from transformers.models.molmo2.image_processing_molmo2 import compute_crop_geometry

    images, (width, height) = seen.processor.image_processor, seen.size
    low_h, low_w, high_h, high_w = (int(n) for n in seen.outputs["image_grids"][0])
    crop, patch = images.size["height"], images.patch_size
    _, _, canvas_h, canvas_w = compute_crop_geometry(
        height, width, images.max_crops, images.overlap_margins, crop, patch
    )
    views = []
    first = 0
    for h, w, shown_h, shown_w in (
        (low_h, low_w, crop // patch, crop // patch),
        (high_h, high_w, canvas_h // patch, canvas_w // patch),
    ):
        y0, y1 = _padded(h * images.pooling_size[0], shown_h)
        x0, x1 = _padded(w * images.pooling_size[1], shown_w)
        views.append(View(whole_grid(h, w, first).tokens, (x0, y0, x1, y1)))
        first += h * w
    return views


def _padded(patches: int, shown: int) -> tuple[float, float]:
    """Where so many patches begin and end around those shown, the odd one at the end."""
    before = (patches - shown) // 2
    return -before / shown, (patches - before) / shown


def _pixels(processor: Any, size: tuple[int, int], most: int) -> dict[str, Any]:
    least = min(processor.image_processor.size["shortest_edge"], most)
    return {"size": {"shortest_edge": least, "longest_edge": most}}


def _pixels_of_pairs(processor: Any, size: tuple[int, int], most: int) -> dict[str, Any]:
    """GLM-4V counts the pixels of two equal frames."""
    return _pixels(processor, size, most * processor.image_processor.temporal_patch_size)


def _longest_edge(processor: Any, size: tuple[int, int], most: int) -> dict[str, Any]:
    side = math.floor(max(size) * math.sqrt(most / (size[0] * size[1])))
    return {
        "size": {"longest_edge": max(1, min(processor.image_processor.size["longest_edge"], side))}
    }


def _paligemma_text(prompt: str, tokenizer: Any) -> str:
    return prompt.replace("<image>", f"<image>{tokenizer.bos_token}") + "\n"


def _molmo_text(prompt: str, tokenizer: Any) -> str:
    start = tokenizer.bos_token or tokenizer.eos_token
    return prompt if prompt.startswith(start) else start + prompt


_THW = Family(thw_views, _pixels)
_PIXTRAL = Family(resized_views, _longest_edge)
_TILED = Family(idefics_views)
FAMILIES: dict[str, Family] = {
    "qwen2_vl": _THW,
    "qwen2_5_vl": _THW,
    "qwen3_vl": _THW,
    "qwen3_5": _THW,
    "glm4v": Family(thw_views, _pixels_of_pairs),
    "mistral3": _PIXTRAL,
    "pixtral": _PIXTRAL,  # a `llava` with that tower
    "gemma3": Family(square_views),
    "paligemma": Family(
        square_views, shareable=False, text=_paligemma_text, template="<image>{question}"
    ),
    "internvl": Family(internvl_views),
    "idefics3": _TILED,
    "smolvlm": _TILED,
    "llava_next": Family(llava_next_views, rows_end=True),
    "llava_onevision": Family(llava_next_views, rows_end=True),
    "molmo2": Family(molmo_views, since="5.20", text=_molmo_text, counted="image_token_pooling"),
}

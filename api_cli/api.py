"""The library functions: pictures and questions in, masked pictures out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from api_cli.options.prompt import MAX_NEW_TOKENS, PROMPT_TEMPLATE

if TYPE_CHECKING:
    from api_cli.masking import Method
    from api_cli.options.run import RunConfig
    from api_cli.relevance import Checkpoint, RelevanceModel

Picture = str | Path | Image.Image


def clip_api(
    images: Sequence[Picture],
    queries: Sequence[str],
    model_name: str = "ViT-L-14-336",
    batch_size: int = 8,
    layer_index: int = 22,
    enhance_coe: float = 10,
    kernel_size: int = 3,
    interpolate_method_name: str = "LANCZOS",
    grayscale: int = 0,
    *,
    pretrained: str | None = None,
    fit: str = "paper",
    device: str = "auto",
    precision: str = "fp32",
) -> list[Image.Image]:
    """Mask images by what CLIP finds relevant to questions about them.

    The model is kept between calls.

    Args:
        images: paths or PIL images.
        queries: a question for each image.
        model_name: open_clip architecture, `hf-hub:OWNER/NAME`, model folder, or `demo`.
        batch_size: images a forward pass.
        layer_index: block of the image tower, from 0; negative counts from the end.
        enhance_coe: contrast of the mask.
        kernel_size: odd width of the mask's mean filter, in patches.
        interpolate_method_name: Pillow's filter for the mask's resize, such as LANCZOS.
        grayscale: level from 0 (black) to 255 (white) that irrelevant parts fade to.
        pretrained: open_clip tag or weights file; default `openai`.
        fit: `paper`, `squash` or `pad` (METHOD.md section 7).
        device: `auto`, or a torch device.
        precision: `fp32`, `bf16` or `fp16`.

    Returns:
        Masked RGB images, in the order and of the sizes of `images`.

    Raises:
        ApipromptError: for arguments or a model that will not do.
        OSError: for a picture that cannot be read.
    """
    from api_cli.options.clip import ClipConfig

    config = ClipConfig.resolve(_given(locals(), ClipConfig), {})
    return _mask_all(images, queries, batch_size, config, _load_clip)


def llava_api(
    images: Sequence[Picture],
    queries: Sequence[str],
    model_name: str = "llava-v1.5-13b",
    batch_size: int = 1,
    layer_index: int | None = 20,
    enhance_coe: float = 10,
    kernel_size: int = 3,
    interpolate_method_name: str = "LANCZOS",
    grayscale: int = 0,
    *,
    fit: str = "paper",
    device: str = "auto",
    precision: str = "auto",
    load_in: str | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    prompt_template: str = PROMPT_TEMPLATE,
    highlight: str | None = None,
    max_pixels: int | None = None,
) -> list[Image.Image]:
    """Mask images by what LLaVA looks at while it answers questions about them.

    The model is kept between calls. Its answers are had from `LlavaRelevance.relevance`.

    Args:
        images: paths or PIL images.
        queries: a question for each image.
        model_name: `7b`, `13b`, a hub id, a folder in transformers' format, or `demo`.
        batch_size: questions that are answered together.
        layer_index: layer of the language model, from 0; negative counts from the end; None for
            the model's own best.
        enhance_coe: contrast of the mask.
        kernel_size: odd width of the mask's mean filter, in patches.
        interpolate_method_name: Pillow's filter for the mask's resize, such as LANCZOS.
        grayscale: level from 0 (black) to 255 (white) that irrelevant parts fade to.
        fit: `paper`, `squash` or `pad` (METHOD.md section 7).
        device: a torch device, or `auto`, which may spread a large model over several.
        precision: `fp32`, `bf16`, `fp16`, or `auto` for that of the stored weights.
        load_in: `8bit` or `4bit` for weights so quantised by bitsandbytes.
        max_new_tokens: length of an answer at most.
        prompt_template: with `<image>` and `{question}` in it.
        highlight: count only the passes that produced this part of an answer.
        max_pixels: of a picture as the model sees it, for families with that choice.

    Returns:
        Masked RGB images, in the order and of the sizes of `images`.

    Raises:
        ApipromptError: for arguments or a model that will not do.
        OSError: for a picture that cannot be read.
    """
    from api_cli.options.llava import LlavaConfig

    config = LlavaConfig.resolve(_given(locals(), LlavaConfig), {})
    return _mask_all(images, queries, batch_size, config, _load_llava)


def _given(arguments: dict[str, Any], config_class: type[RunConfig]) -> Any:
    """Those of a function's arguments that are fields of a configuration, to be checked by it."""
    names = config_class.options().keys() - {"images"}
    return {name: value for name, value in arguments.items() if name in names}


def _mask_all(
    images: Sequence[Picture],
    queries: Sequence[str],
    batch_size: int,
    config: RunConfig,
    load: Callable[[RunConfig], Loaded],
) -> list[Image.Image]:
    """The masked images: one layer and one setting of the mask for all."""
    from api_cli.errors import UsageError
    from api_cli.masking import apply_mask
    from api_cli.options.config import MODEL
    from api_cli.relevance.layers import resolve_layers
    from api_cli.runs.settings import SWEPT, mask_settings, reads_of

    if len(images) != len(queries):
        raise UsageError(f"{len(images)} images but {len(queries)} queries: give one for each")
    alone = {name: getattr(config, name)[0] for name in SWEPT}
    settings = mask_settings(alone)
    # what shapes the model alone, so that calls with other masks find it loaded
    shaping = {name for name, option in config.options().items() if option.panel == MODEL}
    shaping -= {"layer_index", "batch_size", *SWEPT}
    method, checkpoint, model = load(
        type(config)(**{name: getattr(config, name) for name in shaping})
    )
    [layers, *_] = resolve_layers(config.layer_index, checkpoint)
    reads = reads_of(layers, alone)

    masked = []
    for start in range(0, len(images), batch_size):
        batch = [_picture(image) for image in images[start : start + batch_size]]
        prepared = [model.prepare(image) for image in batch]
        asked = list(queries[start : start + batch_size])
        extra = [config.relative_to] * len(batch) if settings.relative != "none" else []
        found = model.relevance(
            prepared * (2 if extra else 1),
            asked + extra,
            reads,
            range(len(batch), len(batch) + len(extra)),
        )
        means = [maps.mean(axis=0, dtype=maps.dtype) for maps, _ in found]
        for number, (image, seen) in enumerate(zip(batch, prepared, strict=True)):
            general = means[len(batch) + number] if extra else None
            mask = method.make_mask(means[number], settings, general)
            masked.append(apply_mask(image, mask, settings, seen.part.box))
    return masked


class Loaded(NamedTuple):
    """An auxiliary model in memory, and what is made of its maps."""

    method: Method
    checkpoint: Checkpoint
    model: RelevanceModel


def _load(config: RunConfig) -> Loaded:
    from api_cli.console import Console
    from api_cli.options.launch import Launch
    from api_cli.relevance.auxiliaries import auxiliary_of

    auxiliary = auxiliary_of(config, Console(quiet=True), Launch())
    checkpoint = auxiliary.find()
    precision = checkpoint.precision if config.precision == "auto" else config.precision
    return Loaded(auxiliary.method, checkpoint, auxiliary.load(precision))


_load_clip = lru_cache(maxsize=2)(_load)
_load_llava = lru_cache(maxsize=1)(_load)


def _picture(image: Picture) -> Image.Image:
    from api_cli.runs.pictures import decode, to_rgb

    if isinstance(image, Image.Image):
        return to_rgb(image.copy())  # the caller's stays as it is
    return decode(Path(image).read_bytes())

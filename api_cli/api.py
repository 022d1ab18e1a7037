"""The library functions: pictures and questions in, masked pictures out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from api_cli.prompt import MAX_NEW_TOKENS, PROMPT_TEMPLATE

if TYPE_CHECKING:
    from api_cli.config import ClipConfig, LlavaConfig
    from api_cli.methods import Method
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
    from api_cli.config import ClipConfig
    from api_cli.methods import CLIP

    given = _given(locals(), ClipConfig)
    config = ClipConfig.resolve(given, {})

    def load() -> tuple[Checkpoint, RelevanceModel]:
        return _clip(model_name, pretrained, config.fit, config.device, config.precision)

    return _mask_all(images, queries, batch_size, config, CLIP, load)


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

    Returns:
        Masked RGB images, in the order and of the sizes of `images`.

    Raises:
        ApipromptError: for arguments or a model that will not do.
        OSError: for a picture that cannot be read.
    """
    from api_cli.config import LlavaConfig
    from api_cli.methods import LLAVA

    given = _given(locals(), LlavaConfig)
    config = LlavaConfig.resolve(given, {})

    def load() -> tuple[Checkpoint, RelevanceModel]:
        return _llava(
            model_name,
            fit=config.fit,
            device=config.device,
            precision=config.precision,
            load_in=config.load_in,
            max_new_tokens=config.max_new_tokens,
            prompt_template=config.prompt_template,
            highlight=config.highlight,
        )

    return _mask_all(images, queries, batch_size, config, LLAVA, load)


def _given(arguments: dict[str, Any], config_class: type[ClipConfig | LlavaConfig]) -> Any:
    """Those of a function's arguments that are fields of a configuration, to be checked by it."""
    names = config_class.options().keys() - {"images"}
    return {name: value for name, value in arguments.items() if name in names}


def _mask_all(
    images: Sequence[Picture],
    queries: Sequence[str],
    batch_size: int,
    config: ClipConfig | LlavaConfig,
    method: Method,
    load: Callable[[], tuple[Checkpoint, RelevanceModel]],
) -> list[Image.Image]:
    """The masked images: one layer and one setting of the mask for all."""
    from api_cli.errors import UsageError
    from api_cli.masking import MaskSettings, apply_mask
    from api_cli.plan import resolve_layers

    if len(images) != len(queries):
        raise UsageError(f"{len(images)} images but {len(queries)} queries: give one for each")
    settings = MaskSettings(
        config.enhance_coe[0],
        config.kernel_size[0],
        config.interpolate_method_name[0],
        config.grayscale[0],
    )
    checkpoint, model = load()
    layers = resolve_layers(config.layer_index, checkpoint)

    masked = []
    for start in range(0, len(images), batch_size):
        batch = [_picture(image) for image in images[start : start + batch_size]]
        prepared = [model.prepare(image) for image in batch]
        found = model.relevance(prepared, queries[start : start + batch_size], layers)
        for image, (_, part), (maps, _) in zip(batch, prepared, found, strict=True):
            mask = method.make_mask(maps[0], settings.enhance_coe, settings.kernel_size)
            masked.append(apply_mask(image, mask, settings, part.box))
    return masked


@lru_cache(maxsize=2)
def _clip(
    model_name: str, pretrained: str | None, fit: str, device: str, precision: str
) -> tuple[Checkpoint, RelevanceModel]:
    from api_cli.relevance.clip import ClipRelevance
    from api_cli.relevance.clip_checkpoint import ClipCheckpoint

    checkpoint = ClipCheckpoint(model_name, pretrained)
    model = ClipRelevance(checkpoint, fit=fit, device=device, precision=precision)
    return checkpoint, model


@lru_cache(maxsize=1)
def _llava(model_name: str, **options: Any) -> tuple[Checkpoint, RelevanceModel]:
    from api_cli.relevance.llava import LlavaRelevance
    from api_cli.relevance.llava_checkpoint import LlavaCheckpoint

    checkpoint = LlavaCheckpoint(model_name)
    return checkpoint, LlavaRelevance(checkpoint, **options)


def _picture(image: Picture) -> Image.Image:
    from api_cli.pipeline import decode, to_rgb

    return to_rgb(image) if isinstance(image, Image.Image) else decode(Path(image).read_bytes())

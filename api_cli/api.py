"""The library functions: pictures and questions in, masked pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from api_cli.relevance.clip import ClipRelevance


def clip_api(
    images: Sequence[str | Path | Image.Image],
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
    from api_cli.errors import UsageError
    from api_cli.masking import MaskSettings, apply_mask
    from api_cli.methods import CLIP
    from api_cli.plan import resolve_layers

    if len(images) != len(queries):
        raise UsageError(f"{len(images)} images but {len(queries)} queries: give one for each")
    given = {
        "layer_index": layer_index,
        "batch_size": batch_size,
        "enhance_coe": enhance_coe,
        "kernel_size": kernel_size,
        "interpolate_method_name": interpolate_method_name,
        "grayscale": grayscale,
        "fit": fit,
        "device": device,
        "precision": precision,
    }
    config = ClipConfig.resolve(given, {})
    settings = MaskSettings(
        config.enhance_coe[0],
        config.kernel_size[0],
        config.interpolate_method_name[0],
        config.grayscale[0],
    )
    model = _clip_model(model_name, pretrained, config.fit, config.device, config.precision)
    layers = resolve_layers(config.layer_index, model.number_of_layers)

    masked = []
    for start in range(0, len(images), batch_size):
        batch = [_picture(image) for image in images[start : start + batch_size]]
        prepared = [model.prepare(image) for image in batch]
        maps = model.relevance(prepared, queries[start : start + batch_size], layers)
        for image, (_, part), map_ in zip(batch, prepared, maps, strict=True):
            mask = CLIP.make_mask(map_[0], settings.enhance_coe, settings.kernel_size)
            masked.append(apply_mask(image, mask, settings, part.box))
    return masked


@lru_cache(maxsize=2)
def _clip_model(
    model_name: str, pretrained: str | None, fit: str, device: str, precision: str
) -> ClipRelevance:
    from api_cli.relevance.checkpoint import ClipCheckpoint
    from api_cli.relevance.clip import ClipRelevance

    checkpoint = ClipCheckpoint(model_name, pretrained)
    return ClipRelevance(checkpoint, fit=fit, device=device, precision=precision)


def _picture(image: str | Path | Image.Image) -> Image.Image:
    from api_cli.pipeline import decode, to_rgb

    return to_rgb(image) if isinstance(image, Image.Image) else decode(Path(image).read_bytes())

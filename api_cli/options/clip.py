"""What `apiprompt clip` can be told beside what every command can."""

from __future__ import annotations

from dataclasses import dataclass

from api_cli.errors import UsageError
from api_cli.options import parsers
from api_cli.options.config import MODEL
from api_cli.options.option import option
from api_cli.options.preset import by_model
from api_cli.options.run import RunConfig

_OF_ATTENTION = {"softmax": "image", "token_weights": "even", "relative": "none", "denoise": "none"}


@dataclass(frozen=True, kw_only=True)
class ClipConfig(RunConfig):
    """Configuration of `apiprompt clip`."""

    command = "clip"
    usual_model = "ViT-L-14-336"

    model_name: str | None = option(
        MODEL,
        None,
        parsers.text,
        "NAME",
        "open_clip architecture, hf-hub:OWNER/NAME, folder with open_clip_config.json, or demo.",
        "demo on the demo set, else ViT-L-14-336",
    )
    layer_index: tuple[int | str, ...] | None = option(
        MODEL,
        None,
        by_model(parsers.layers),
        "L,...",
        "Block of the image tower that is read, from 0; negative counts from the end; 20+22 is the "
        "mean of two. SigLIP, PE-Core, CoCa and CLIPA are read by our analogue of the published "
        "method.",
        "-2; -1 for towers that pool by attention",
    )
    batch_size: int | str = option(
        MODEL,
        8,
        parsers.batch_size,
        "N",
        "Images a forward pass, or auto; halved where memory does not do.",
    )
    precision: str = option(
        MODEL,
        "fp32",
        parsers.one_of("fp32", "bf16", "fp16"),
        "NAME",
        "Of the model's forward pass: fp32, bf16 or fp16.",
    )
    pretrained: str | None = option(
        MODEL,
        None,
        parsers.text,
        "TAG|FILE",
        "Weights of an architecture: open_clip tag or file.",
        "openai",
    )

    def __post_init__(self) -> None:
        """Raise UsageError for what is defined for attention alone."""
        for name, usual in _OF_ATTENTION.items():
            for value in getattr(self, name):
                if value != usual:
                    raise UsageError(
                        f"--{name.replace('_', '-')} {value}: that is defined for attention, which "
                        "is 0 or more and sums to 1; CLIP's maps are signed and of any scale. "
                        "Leave it out, or use `apiprompt llava`"
                    )

"""What every command that makes masked pictures can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from api_cli.options import parsers
from api_cli.options.config import MASK, MODEL, OUTPUT, PICTURES, RUN
from api_cli.options.data import DataConfig
from api_cli.options.option import option
from api_cli.options.pictures import check_pictures
from api_cli.options.preset import ByModel
from api_cli.options.prompt import GENERAL_QUESTION

R = TypeVar("R", bound="RunConfig")


@dataclass(frozen=True, kw_only=True)
class RunConfig(DataConfig):
    """Fields with several values make every combination.

    Attributes:
        usual_model: the model where nobody names one, on any set but the demo's.
    """

    usual_model: ClassVar[str]

    pictures: tuple[Path, ...] = option(
        PICTURES,
        (),
        parsers.several(parsers.path),
        "PICTURE...",
        "Pictures to mask for --question, in place of a dataset; each result is written beside its "
        "own as NAME.masked.jpg, or where --output says.",
    )
    output: Path | None = option(
        PICTURES,
        None,
        parsers.path,
        "FILE|DIR",
        "Where to write: a file for one picture in one setting, else a folder.",
        "beside each picture",
    )

    # these mean something else to each command
    model_name: str | None
    layer_index: tuple[int | str, ...] | None
    batch_size: int | str
    precision: str
    enhance_coe: tuple[float | str, ...] = option(
        MASK,
        (5,),
        parsers.several(parsers.none_or(parsers.number)),
        "X,...",
        "Contrast of the mask; none leaves the map as it is.",
    )
    kernel_size: tuple[int, ...] = option(
        MASK,
        (3,),
        parsers.several(parsers.odd_integer),
        "K,...",
        "Smoothness of the mask: odd width of the mean filter, in patches.",
    )
    interpolate_method_name: tuple[str, ...] = option(
        MASK,
        ("LANCZOS",),
        parsers.several(
            parsers.one_of("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
        ),
        "NAME,...",
        "Pillow's filter for resizing the mask: NEAREST, BOX, BILINEAR, HAMMING, BICUBIC, LANCZOS.",
    )
    grayscale: tuple[int, ...] = option(
        MASK,
        (0,),
        parsers.several(parsers.integer(0, 255)),
        "0..255,...",
        "Grey level that irrelevant parts fade to: 0 black, 255 white.",
    )
    smooth: tuple[str, ...] = option(
        MASK,
        ("mean",),
        parsers.several(parsers.smoothing),
        "NAME,...",
        "The mask's filter: mean, of --kernel-size, or in its place gaussian:S, of S times the "
        "shorter side of the grid.",
    )
    softmax: tuple[str, ...] = option(
        MODEL,
        ("image",),
        parsers.several(parsers.one_of("image", "all")),
        "NAME,...",
        "Of attention: over the image's tokens alone, or over all, so that heads weigh by what "
        "they give the image: image, all.",
    )
    token_weights: tuple[str, ...] = option(
        MODEL,
        ("even",),
        parsers.several(parsers.one_of("even", "linear", "first")),
        "NAME,...",
        "Of the looks that produced the answer's tokens: even, linear (the t-th counts t times), "
        "first (the prompt's alone).",
    )
    relative: tuple[str, ...] = option(
        MASK,
        ("none",),
        parsers.several(parsers.one_of("none", "ratio", "difference")),
        "NAME,...",
        "Compare the map with that of a general question: none, ratio, difference.",
    )
    relative_to: str = option(
        MASK, GENERAL_QUESTION, parsers.text, "TEXT", "The general question of --relative."
    )
    denoise: tuple[float | str, ...] = option(
        MASK,
        ("none",),
        parsers.several(parsers.none_or(parsers.at_least(1))),
        "X,...",
        "A patch above X times the largest of its neighbours becomes their mean; none leaves it.",
    )
    floor: tuple[float, ...] = option(
        MASK,
        (0,),
        parsers.several(parsers.fraction),
        "0..1,...",
        "What is left of the picture at least.",
    )
    keep: tuple[str, ...] = option(
        MASK,
        ("none",),
        parsers.several(parsers.keep),
        "SHARE[:N],...",
        "Keep the brightest share of patches, and of their connected regions N, and nothing of "
        "the rest; none keeps all.",
    )
    render: tuple[str, ...] = option(
        MASK,
        ("fade",),
        parsers.several(
            parsers.one_of(
                *("fade", "blur", "black", "outline", "crop", "pair", "cutout", "warp", "heat")
            )
        ),
        "NAME,...",
        "What is made of mask and picture: fade, blur, black, outline, crop, pair (original and "
        "crop), cutout (black, then crop), warp, heat.",
    )
    shuffle_masks: int | None = option(
        MASK,
        None,
        parsers.integer(0),
        "SEED",
        "Give each sample the mask of another one, drawn by this seed: the control that tells what "
        "a mask does wherever it lies.",
        "its own mask",
    )
    fit: str = option(
        MODEL,
        "paper",
        parsers.one_of("paper", "squash", "pad"),
        "NAME",
        "How a rectangle meets the model's square: paper (as published: clip crops the centre, "
        "llava pads, and masks of wide and tall images are displaced), squash or pad (both exact).",
    )
    device: str = option(MODEL, "auto", parsers.text, "NAME", "auto, cpu, cuda, cuda:1, mps, ...")
    output_folder: Path = option(
        OUTPUT, Path("experiments"), parsers.path, "DIR", "Folder in which run folders are made."
    )
    format: str = option(
        OUTPUT,
        "jpg",
        parsers.one_of("jpg", "png", "webp", "source"),
        "NAME",
        "Of the pictures: jpg, png or webp; or source, which keeps each source's name and suffix.",
    )
    quality: int = option(OUTPUT, 95, parsers.integer(1, 100), "1..100", "Of jpg and webp.")
    overwrite: bool = option(
        OUTPUT, False, parsers.switch, "", "Delete what the run folders hold and start afresh."
    )
    verify: bool = option(
        OUTPUT,
        False,
        parsers.switch,
        "",
        "Read finished samples' pictures again, also where size and time say that they are the "
        "same.",
    )
    map_store: bool = option(
        OUTPUT,
        True,
        parsers.switch,
        "",
        "Keep relevance maps beside the run folders, so that runs with other mask parameters need "
        "no model.",
    )
    save_maps: bool = option(
        OUTPUT,
        False,
        parsers.switch,
        "",
        "Write each relevance map beside the masked image, as .npy and as a heat-map picture.",
    )
    shard: tuple[int, int] = option(
        RUN,
        (0, 1),
        parsers.shard,
        "I/N",
        "Do the I-th of N stretches of the samples, for job arrays.",
        "0/1",
    )
    num_workers: int | str = option(
        RUN, "auto", parsers.auto_or(parsers.integer(1)), "N", "Threads that read, blend and write."
    )
    dry_run: bool = option(
        RUN, False, parsers.switch, "", "Say what would be done, and do nothing."
    )
    quiet: bool = option(RUN, False, parsers.switch, "", "Errors only.")

    @classmethod
    def made_of(cls: type[R], values: Mapping[str, Any], say: Callable[[str], None]) -> R:
        """As `Config.made_of`; of a table of layers, those of the model."""
        layers = values.get("layer_index")
        if not isinstance(layers, ByModel):
            return cls(**values)
        config = cls(**{**values, "layer_index": None})
        own = layers.of(config.model)
        if own is None:
            say(
                f"the configuration names no layer of {config.model} (but of {', '.join(layers)}): "
                "its default layer is read; --layer-index says otherwise"
            )
        return replace(config, layer_index=own)

    @property
    def model(self) -> str:
        """The model's name, the default filled in."""
        if self.model_name is not None:
            return self.model_name
        on_demo_set = self.dataset == "demo" and not self.pictures
        return "demo" if on_demo_set else self.usual_model

    @property
    def is_sweep(self) -> bool:
        """Whether several settings are asked for."""
        shaping = (n for n, o in self.options().items() if o.panel in (MODEL, MASK))
        values = (getattr(self, name) for name in shaping)
        return any(isinstance(value, tuple) and len(value) > 1 for value in values)

    def check(self, flags: Mapping[str, Any]) -> None:
        """As `Config.check`: what goes with pictures and what with a dataset."""
        check_pictures(self.pictures, self.question, flags)

    def to_dict(self) -> dict[str, Any]:
        """Field names to values of YAML's own types."""
        pictures = [str(path) for path in self.pictures] or None
        return super().to_dict() | {"pictures": pictures, "shard": "/".join(map(str, self.shard))}

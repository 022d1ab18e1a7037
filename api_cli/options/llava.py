"""What `apiprompt llava` can be told beside what every command can."""

from __future__ import annotations

from dataclasses import dataclass

from api_cli.options import parsers
from api_cli.options.config import MODEL
from api_cli.options.option import option
from api_cli.options.preset import by_model
from api_cli.options.prompt import MAX_NEW_TOKENS, PROMPT_TEMPLATE
from api_cli.options.run import RunConfig


@dataclass(frozen=True, kw_only=True)
class LlavaConfig(RunConfig):
    """Configuration of `apiprompt llava`."""

    command = "llava"
    usual_model = "13b"

    model_name: str | None = option(
        MODEL,
        None,
        parsers.text,
        "NAME",
        "7b or 13b (LLaVA-1.5), a hub id (OWNER/NAME), a folder in transformers' format, or demo; "
        "also of Qwen-VL, GLM-4V, Gemma 3, PaliGemma, InternVL, SmolVLM, Pixtral, ...",
        "demo on the demo set, else 13b",
    )
    layer_index: tuple[int | str, ...] | None = option(
        MODEL,
        None,
        by_model(parsers.layers),
        "L,...",
        "Layer of the language model that is read, from 0; negative counts from the end; 14+15 is "
        "the mean of two.",
        "20 for 7b and 13b, else a model's own best, else five eighths of its depth",
    )
    batch_size: int | str = option(
        MODEL,
        1,
        parsers.batch_size,
        "N",
        "Questions that are answered together, or auto; halved where memory does not do.",
    )
    precision: str = option(
        MODEL,
        "auto",
        parsers.one_of("auto", "fp32", "bf16", "fp16"),
        "NAME",
        "Of weights and forward pass: fp32, bf16, fp16, or auto for that of the stored weights.",
    )
    load_in: str | None = option(
        MODEL,
        None,
        parsers.one_of("8bit", "4bit"),
        "8bit|4bit",
        "Quantise the weights with bitsandbytes (an extra: apiprompt\\[bitsandbytes]).",
        "",
    )
    max_new_tokens: int = option(
        MODEL,
        MAX_NEW_TOKENS,
        parsers.integer(1),
        "N",
        "Length of the model's answer at most; each of its tokens takes a look at the image.",
    )
    prompt_template: str = option(
        MODEL,
        PROMPT_TEMPLATE,
        parsers.prompt_template,
        "TEXT",
        "What the model is given, with <image> and {question} in it; \\n is a new line.",
        "Vicuna's for LLaVA-1.5, else the model's chat template",
    )
    query_suffix: str | None = option(
        MODEL,
        None,
        parsers.text,
        "TEXT",
        "Put behind what the model is asked, --relative's general question included.",
        "",
    )
    highlight: str | None = option(
        MODEL,
        None,
        parsers.text,
        "TEXT",
        "Count only the looks that produced this part of the answer; all where it is not in it.",
        "",
    )
    max_pixels: int | None = option(
        MODEL,
        None,
        parsers.integer(1),
        "N",
        "Of a picture as the model sees it, where its family has that choice (Qwen-VL, GLM-4V, "
        "Pixtral); it sets the cost and the maps' grid. --fit is for LLaVA-1.5 alone: other models "
        "see the whole picture.",
        "the model's own",
    )

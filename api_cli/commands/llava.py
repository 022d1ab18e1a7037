"""`apiprompt llava`."""

from __future__ import annotations

from api_cli.commands.mask import mask
from api_cli.options.flags import flags_of
from api_cli.options.llava import LlavaConfig


@flags_of(LlavaConfig, argument="pictures")
def llava(config: LlavaConfig) -> None:
    """Mask a dataset's images by what LLaVA looks at while it answers their questions.

    Or another vision-language model; `apiprompt vlm` is the same command.

    Without any flag: the demo model on the demo set. The model's own answers
    are in metadata.jsonl, as auxiliary_answer. With PICTURE... and --question,
    in place of a dataset: each masked picture is written beside its own, its
    path printed, and the answer said on stderr.

    Flags, variables, --config and exit status as of `apiprompt clip`.
    """
    mask(config)

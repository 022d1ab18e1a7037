"""`apiprompt clip`."""

from __future__ import annotations

from api_cli.commands.mask import mask
from api_cli.options.clip import ClipConfig
from api_cli.options.flags import flags_of


@flags_of(ClipConfig, argument="pictures")
def clip(config: ClipConfig) -> None:
    """Mask a dataset's images by what CLIP finds relevant to their questions.

    Without any flag: the demo model on the demo set. With PICTURE... and
    --question, in place of a dataset: each masked picture is written beside
    its own, and its path printed.

    Every flag is also a variable, APIPROMPT_<FLAG>, and a key of --config's
    YAML; flags win, then the environment, then YAML. Where several values may
    be given, as in 1,5,10, every combination is made, from one forward pass
    an image. Run folders are printed on stdout, one a line.

    Exit status: 0 done, 1 fatal, 2 wrong usage, 3 some samples failed (see
    errors.jsonl in the run folder), 130 interrupted, 143 terminated, 129 hung
    up.
    """
    mask(config)

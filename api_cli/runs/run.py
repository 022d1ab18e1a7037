"""One command, from its configuration to finished run folders."""

from __future__ import annotations

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.launch import Launch
from api_cli.options.location import Url
from api_cli.options.run import RunConfig
from api_cli.runs.beside import mask_pictures
from api_cli.runs.endings import SOURCE
from api_cli.runs.outcome import Outcome
from api_cli.runs.run_into_folders import run_into_folders

__all__ = ["Outcome", "run"]


def run(config: RunConfig, console: Console, launch: Launch) -> Outcome:
    """Do what `apiprompt clip` or `apiprompt llava` was asked to.

    Args:
        config: what was asked for.
        console: for messages.
        launch: this process among several.

    Raises:
        ApipromptError, DatasetError, OSError: with a message for the user.
    """
    if config.pictures:
        return mask_pictures(config, console)
    _check(config, launch)
    if config.device not in ("auto", "cpu") and config.engine == "local":
        from api_cli.relevance.device import pick_device

        pick_device(config.device)
    if config.output_format == "folder":
        return run_into_folders(config, console, launch)
    from api_cli.runs.shards.run import run_into_shards

    return run_into_shards(config, console, launch)


def _check(config: RunConfig, launch: Launch) -> None:
    """Raise UsageError for flags that do not go together."""
    alone = launch.world_size == 1 and config.shard == (0, 1)
    if config.overwrite and not alone:
        raise UsageError(
            "--overwrite does not go with --shard or several processes, since each would delete "
            "what the others have made; delete the run folders first"
        )
    if config.engine == "ray" and not alone:
        raise UsageError(
            "--engine ray does not go with --shard or several processes: its actors share the "
            "work; say how many with --actors"
        )
    if config.output_format != "folder":
        for flag in ("verify", "shuffle_masks"):
            if getattr(config, flag) not in (None, False):
                raise UsageError(
                    f"--{flag.replace('_', '-')} looks at all samples of a set, and nobody holds "
                    f"those with --output-format {config.output_format}; leave it out, or make a "
                    "folder"
                )
        if config.format == SOURCE:
            raise UsageError(
                "--format source keeps names of files, and shards have none for their pictures; "
                "say --format jpg, png or webp, or make a folder"
            )
        return
    if isinstance(config.output_folder, Url):
        raise UsageError(
            f"--output-folder {config.output_folder}: a folder of pictures needs a disk; "
            "--output-format parquet or webdataset writes to a URL"
        )
    for flag, given in (("engine", config.engine == "ray"), ("retry-failed", config.retry_failed)):
        if given:
            raise UsageError(
                f"--{flag} is of shards: say --output-format parquet or webdataset"
                + ("" if flag == "engine" else "; a folder's failed samples are always tried again")
            )

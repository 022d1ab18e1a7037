"""One command, from its configuration to finished run folders."""

from __future__ import annotations

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.launch import Launch
from api_cli.options.run import RunConfig
from api_cli.relevance.auxiliaries import auxiliary_of
from api_cli.relevance.layers import resolve_layers
from api_cli.runs.assembly import Assembly, find_card
from api_cli.runs.beside import mask_pictures
from api_cli.runs.files import naming
from api_cli.runs.names import portable_name
from api_cli.runs.outcome import Outcome
from api_cli.runs.plan import open_folders, pending
from api_cli.runs.run_folder import finished_keys
from api_cli.runs.settings import list_settings
from api_cli.runs.shuffling import Shuffle
from datasets_manager import Sample, get_dataset

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
    alone = launch.world_size == 1 and config.shard == (0, 1)
    if config.overwrite and not alone:
        raise UsageError(
            "--overwrite does not go with --shard or several processes, since each would delete "
            "what the others have made; delete the run folders first"
        )
    if config.device not in ("auto", "cpu"):
        from api_cli.relevance.device import pick_device

        pick_device(config.device)
    dataset = get_dataset(config.dataset, config.data_root, config.dataset_options)
    for note in dataset.notes:
        console.say(note)
    selected = dataset[slice(*config.range) if config.range else slice(None)]
    if not selected:
        console.warn(f"no samples in that range: {dataset.name} has {len(dataset)}")
    samples = launch.share(selected, config.shard, Sample.shares_picture)
    if launch.world_size > 1:  # said by each: variables left over from another job look the same
        Console(quiet=config.quiet).say(launch.describe(len(samples), len(selected)))
    auxiliary = auxiliary_of(config, console, launch)
    method = auxiliary.method
    card = find_card(config, auxiliary, console)
    name = f"{method.folder_prefix}_{portable_name(dataset.name)}_{card.short_name}"
    settings = list_settings(config, name, resolve_layers(config.layer_index, card))
    if config.dry_run:
        for setting in settings:
            done = finished_keys(setting.path)
            left = sum(sample.key not in done for sample in samples)
            console.say(f"{setting.path}: {left} of {len(samples)} samples to do")
        return Outcome([], None)

    assembly = Assembly(config, auxiliary, card, console)
    shuffle = None if config.shuffle_masks is None else Shuffle(dataset, config.shuffle_masks)
    control = {} if shuffle is None else shuffle.settings
    determining = {"dataset": dataset.name, **assembly.identity, **auxiliary.asked, **control}
    opened = open_folders(config, settings, determining, dataset, console.say)
    jobs = pending(
        dataset, samples, opened, console, save_maps=config.save_maps, verify=config.verify
    )
    folders = [setting.path for setting in settings]
    if not jobs:
        for variant, _ in opened:
            variant.sink.close()
        console.say(f"nothing left to do: all {len(samples)} samples are finished")
        return Outcome(folders, None)

    with naming(config.output_folder), console.progress(len(jobs)) as advance:
        report = assembly.belt(advance, shuffle).run(jobs)
    for variant, _ in opened:  # also those that lacked nothing, whose pictures were looked at
        variant.sink.close()
    return Outcome(folders, report)

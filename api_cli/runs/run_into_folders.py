"""A run with a file a picture and a manifest a folder, for a machine or a few."""

from __future__ import annotations

from pathlib import Path

from api_cli.console import Console
from api_cli.options.launch import Launch
from api_cli.options.run import RunConfig
from api_cli.runs.assembly import assemble
from api_cli.runs.files import naming
from api_cli.runs.outcome import Outcome
from api_cli.runs.plan import open_folders, pending
from api_cli.runs.run_folder import finished_keys
from api_cli.runs.shuffling import Shuffle
from datasets_manager import Sample, get_dataset


def run_into_folders(config: RunConfig, console: Console, launch: Launch) -> Outcome:
    """Mask samples into run folders; see `run`."""
    dataset = get_dataset(config.dataset, config.data_root, config.dataset_options)
    for note in dataset.notes:
        console.say(note)
    selected = dataset[slice(*config.range) if config.range else slice(None)]
    if not selected:
        console.warn(f"no samples in that range: {dataset.name} has {len(dataset)}")
    samples = launch.share(selected, config.shard, Sample.shares_picture, Sample.shares_group)
    if launch.world_size > 1:  # said by each: variables left over from another job look the same
        Console(quiet=config.quiet).say(launch.describe(len(samples), len(selected)))
    assembly = assemble(config, console, launch)
    settings = assembly.settings(dataset.name)
    folders = [Path(setting.path) for setting in settings]
    if config.dry_run:
        for folder in folders:
            done = finished_keys(folder)
            left = sum(sample.key not in done for sample in samples)
            console.say(f"{folder}: {left} of {len(samples)} samples to do")
        return Outcome([], None)

    shuffle = None if config.shuffle_masks is None else Shuffle(dataset, config.shuffle_masks)
    control = {} if shuffle is None else shuffle.settings
    determining = {**assembly.determining(dataset.name), **control}
    opened = open_folders(config, settings, determining, dataset, console.say)
    jobs = pending(
        dataset, samples, opened, console, save_maps=config.save_maps, verify=config.verify
    )
    if not jobs:
        for variant, _ in opened:
            variant.sink.close()
        console.say(f"nothing left to do: all {len(samples)} samples are finished")
        return Outcome(folders, None)

    with naming(Path(config.output_folder)), console.progress(len(jobs)) as advance:
        belt = assembly.belt(advance, store=assembly.store(console.warn), shuffle=shuffle)
        report = belt.run(jobs)
    for variant, _ in opened:  # also those that lacked nothing, whose pictures were looked at
        variant.sink.close()
    if report.failed:
        report.left = (
            f"{report.failed} samples failed; errors.jsonl in the run folder says why, "
            "and the same command tries them again",
        )
    return Outcome(folders, report)

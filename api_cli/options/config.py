"""Configurations: one frozen dataclass a command; flags > environment > YAML > defaults.

A field is at once a flag (`layer_index`: `--layer-index` or `--layer_index`), a variable
(`APIPROMPT_LAYER_INDEX`), a YAML key and, validated, an attribute. `flags.py` makes a command's
flags from these fields, so each is described once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import yaml

from api_cli.options.option import Option, parse_all, plain, read_yaml
from api_cli.options.preset import ASK, read_config, section

ENVIRONMENT_PREFIX = "APIPROMPT_"
DATA, MODEL, MASK, OUTPUT, RUN = "Data", "Model", "Mask", "Output", "Run"
PICTURES = "Pictures in place of a dataset"

C = TypeVar("C", bound="Config")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a command can be told; each field is an `option`.

    Attributes:
        command: the subcommand's name, by which configuration files say whose they are.
    """

    command: ClassVar[str] = ""

    @classmethod
    def resolve(
        cls: type[C],
        flags: Mapping[str, Any],
        environment: Mapping[str, str],
        config_file: str | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> C:
        """Put a configuration together.

        Args:
            flags: field name to value, as given on the command line; None is not given.
            environment: variables; those named APIPROMPT_<FIELD> count.
            config_file: YAML file, or name of a shipped configuration.
            say: takes what a user should know of how it was put together.

        Raises:
            UsageError: for an unknown key or a bad value, naming it and where it stands; for a
                configuration of another subcommand.
        """
        options = cls.options()
        values: dict[str, Any] = {}
        if config_file is not None:
            path, keys = read_config(config_file, cls.command)
            values |= parse_all(options, keys, lambda name: f"{path}: {name}")
            if cls.command != ASK:  # what ask will find wrong is said now, where it is known
                there = section(read_yaml(path), path)
                for of_ask in (c for c in _configs() if c.command == ASK):
                    parse_all(of_ask.options(), there, lambda name: f"{path}: {ASK}: {name}")
        variables = {
            name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(ENVIRONMENT_PREFIX) and value
        }
        for name in _flags_of_all() - options.keys():  # one environment serves all subcommands
            variables.pop(name, None)
        values |= parse_all(options, variables, lambda name: ENVIRONMENT_PREFIX + name.upper())
        values |= parse_all(options, flags, lambda name: f"--{name.replace('_', '-')}")
        config = cls.made_of(values, say)
        config.check(flags)
        return config

    @classmethod
    def made_of(cls: type[C], values: Mapping[str, Any], say: Callable[[str], None]) -> C:
        """A configuration of validated values by field; where they bear upon each other, settled.

        Args:
            values: of the fields that somebody gave one.
            say: takes what a user should know.
        """
        return cls(**values)

    def check(self, flags: Mapping[str, Any]) -> None:
        """Raise UsageError where fields do not go together, or not with what the flags say."""

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Fields of this configuration as flags, in order."""
        return {f.name: f.metadata["option"] for f in fields(cls)}

    def to_yaml(self) -> str:
        """YAML that `--config` reads back to the same configuration."""
        return str(
            yaml.safe_dump(
                self.to_dict(), sort_keys=False, default_flow_style=None, allow_unicode=True
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Field names to values of YAML's own types."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}


def _configs() -> list[type[Config]]:
    """Every configuration."""
    configs: list[type[Config]] = [Config]
    for config in configs:
        configs += config.__subclasses__()
    return configs


def _flags_of_all() -> set[str]:
    """Names of the flags of every subcommand."""
    return {field.name for config in _configs() for field in fields(config)}

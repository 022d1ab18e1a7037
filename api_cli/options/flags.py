"""From a configuration's fields to a subcommand's flags."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from api_cli.console import Console
from api_cli.errors import Interrupted
from api_cli.options.config import RUN, Config
from api_cli.options.option import Option
from api_cli.options.preset import shipped_for

C = TypeVar("C", bound=Config)

# lets Typer take --layer_index for --layer-index
EITHER_SPELLING = {"token_normalize_func": lambda flag: flag.replace("_", "-")}


def flags_of(
    config_class: type[C], *, panel: str = "", argument: str = ""
) -> Callable[[Callable[[C], None]], Callable[..., None]]:
    """Make a configuration's fields the flags of the decorated subcommand.

    The function is called with the configuration they come to, together with the environment and
    `--config`. With `--print-config` that is printed and the function is not called.

    Args:
        config_class: the configuration.
        panel: take the flags of this panel alone; empty for all.
        argument: a field that is not a flag but the subcommand's argument; several of them where
            its metavar ends in dots.
    """

    def decorate(function: Callable[[C], None]) -> Callable[..., None]:
        def command(**flags: Any) -> None:
            config_file, print_config = flags.pop("config"), flags.pop("print_config")
            notes: list[str] = []
            config = config_class.resolve(flags, os.environ, config_file, notes.append)
            for note in notes:
                Console(quiet=getattr(config, "quiet", False)).say(note)
            if print_config:
                typer.echo(config.to_yaml(), nl=False)
                return
            try:
                function(config)
            except KeyboardInterrupt as error:  # Typer would end it without a word
                raise Interrupted(*error.args[:1]) from None

        shipped = ", ".join(path.stem for path in shipped_for(config_class.command))
        options = {
            name: option
            for name, option in config_class.options().items()
            if panel in ("", option.panel)
        } | {
            "config": Option(
                str,
                "YAML file with flags' names as keys"
                + (f", or a shipped configuration: {shipped}." if shipped else "."),
                "NAME|FILE" if shipped else "FILE",
                "",
                RUN,
            ),
            "print_config": Option(
                bool, "Show what all flags come to, as YAML for --config, and stop.", "", "", RUN
            ),
        }
        parameters = [
            _argument(name, option) if name == argument else _parameter(name, option)
            for name, option in options.items()
        ]
        # Typer reads flags off a function's signature
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__doc__ = function.__doc__
        command.__name__ = function.__name__
        return command

    return decorate


def _argument(name: str, option: Option) -> inspect.Parameter:
    """The argument of a subcommand as Typer reads it off a signature."""
    metavar = option.metavar.removesuffix("...")
    argument = typer.Argument(metavar=metavar, help=option.help, show_default=False)
    if option.metavar.endswith("..."):  # any number of them
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[list[str] | None, argument],
        )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[str, argument]
    )


def _parameter(name: str, option: Option) -> inspect.Parameter:
    """A flag as Typer reads it off a signature; None where it is not given."""
    kind: Any = tuple[str, str] if " " in option.metavar else str
    spelling = name.replace("_", "-")
    flag = typer.Option(
        f"--{spelling}" if option.metavar else f"--{spelling}/--no-{spelling}",
        metavar=option.metavar or None,
        help=option.help + (f" [dim]\\[default: {option.default}][/dim]" if option.default else ""),
        show_default=False,
        rich_help_panel=option.panel,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[(kind if option.metavar else bool) | None, flag],
    )

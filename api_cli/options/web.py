"""What `apiprompt web` can be told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from api_cli.options import parsers
from api_cli.options.config import MODEL, RUN, Config
from api_cli.options.option import option

PAGE = "Page"


@dataclass(frozen=True, kw_only=True)
class WebConfig(Config):
    """Where the page is, which models it offers, and what it takes from its visitors."""

    clip_models: tuple[str, ...] = option(
        MODEL,
        ("demo",),
        parsers.several(parsers.text),
        "NAME,...",
        "CLIPs that the page offers, as --model-name of `apiprompt clip`.",
    )
    llava_models: tuple[str, ...] = option(
        MODEL,
        ("demo",),
        parsers.several(parsers.text),
        "NAME,...",
        "Vision-language models that the page offers, as --model-name of `apiprompt llava`.",
    )
    device: str = option(MODEL, "auto", parsers.text, "NAME", "auto, cpu, cuda, cuda:1, mps, ...")
    base_url: str | None = option(
        PAGE,
        None,
        parsers.text,
        "URL",
        "Server of OpenAI's chat dialect that answers about original and masked picture. On "
        "this machine's own address visitors may name one themselves.",
        "",
    )
    model: str | None = option(
        PAGE, None, parsers.text, "NAME", "The model, as that server knows it.", ""
    )
    api_key_env: str = option(
        PAGE, "OPENAI_API_KEY", parsers.text, "NAME", "Variable that holds that server's key."
    )
    host: str = option(
        RUN,
        "127.0.0.1",
        parsers.text,
        "ADDRESS",
        "Address that the page listens at; 0.0.0.0 lets other machines in.",
    )
    port: int = option(RUN, 7860, parsers.integer(0, 65535), "N", "Its port; 0 for a free one.")
    max_megabytes: int = option(PAGE, 20, parsers.integer(1), "N", "Of an uploaded picture's file.")
    max_megapixels: int = option(PAGE, 50, parsers.integer(1), "N", "Of an uploaded picture.")
    keep_minutes: int = option(
        PAGE, 60, parsers.integer(1), "N", "After which uploaded pictures are removed."
    )
    quiet: bool = option(RUN, False, parsers.switch, "", "Errors only.")

    @property
    def is_private(self) -> bool:
        """Whether nobody but this machine's users can reach the page."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

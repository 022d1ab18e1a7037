"""Serving the page, until the program is told to end."""

from __future__ import annotations

import os
import threading
from tempfile import TemporaryDirectory

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.web import WebConfig
from api_cli.pages.web.app import build
from api_cli.pages.web.sliders import HEAD, theme


def serve(config: WebConfig, console: Console) -> None:
    """Serve the page until the program is told to end; what was uploaded is removed then.

    Raises:
        UsageError: where the address or the port will not do.
    """
    with TemporaryDirectory(prefix="apiprompt-web-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = build(config)
        try:
            _, url, _ = page.launch(
                server_name=config.host,
                server_port=config.port or None,
                max_file_size=config.max_megabytes * 2**20,
                theme=theme(),
                head=HEAD,
                footer_links=[],
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                enable_monitoring=False,
            )
        except OSError as error:
            raise UsageError(f"--host {config.host} --port {config.port}: {error}") from error
        console.say(f"the page is at {url}; Ctrl-C ends it")
        try:
            threading.Event().wait()
        finally:
            page.close(verbose=False)

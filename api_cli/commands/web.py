"""`apiprompt web`."""

from __future__ import annotations

from importlib.util import find_spec

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.flags import flags_of
from api_cli.options.web import WebConfig


@flags_of(WebConfig)
def web(config: WebConfig) -> None:
    """Try the method by hand, on a page in the browser.

    Upload a picture, ask, and see the masked picture follow the sliders. The
    page is at this machine's own address unless --host says otherwise, asks
    nobody else for anything, and removes what was uploaded.

    Wants an extra: pip install 'apiprompt\\[web]'.
    """
    if find_spec("gradio") is None:
        raise UsageError("the page wants Gradio: pip install 'apiprompt[web]'")
    from api_cli.pages.web.serving import serve

    serve(config, Console(quiet=config.quiet))

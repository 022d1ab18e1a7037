"""A real browser: Debian's `chromium`, driven by the packages of the extra `[browser]`."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def lacking() -> str:
    """What is missing of a browser and what drives it; empty where nothing is."""
    for module in ("playwright", "axe_playwright_python"):
        if find_spec(module) is None:
            return f"{module} is not installed: pip install '.[browser]'"
    return "" if shutil.which("chromium") else "no chromium: apt-get install chromium"

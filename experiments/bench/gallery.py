"""`apiprompt show` against its thumbnails alone, and how soon its first picture is on screen."""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from api_cli.console import Console
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch, default_num_workers
from api_cli.options.show import ShowConfig
from api_cli.pages.show.drawing import shrink
from api_cli.pages.show.show import show
from api_cli.runs.ledger import to_line
from api_cli.runs.pictures import encode
from api_cli.runs.run import run
from experiments.bench.common import Row, compare, cpu_seconds, write_photographs

_SIDE = 384
_LOOKS = """(() => {
    const look = () => {
        const first = document.images[0];
        if (first?.complete && first.naturalWidth) {
            requestAnimationFrame(() => requestAnimationFrame(() => {
                window.firstPicture = performance.now();
            }));
        } else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})()"""


def measure(samples: int, rounds: int) -> list[Row]:
    """CPU time of a gallery over that of reading, shrinking and encoding its thumbnails.

    Originals and masked pictures are JPEGs of a megapixel, masked by the demo CLIP; the third
    thumbnail of a sample, its heat map, is of the original's size.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        originals = _write_pictures(root, samples)
        rows = [
            {"key": path.stem, "file_name": path.name, "question": f"What is in picture {n}?"}
            for n, path in enumerate(originals)
        ]
        (root / "pictures" / "metadata.jsonl").write_bytes(b"".join(map(to_line, rows)))
        console = Console(quiet=True)
        config = ClipConfig(
            dataset="imagefolder",
            data_root=root / "pictures",
            model_name="demo",
            output_folder=root / "out",
        )
        [folder] = run(config, console, Launch()).folders
        masked = [folder / path.name for path in originals]

        def alone(sample: int) -> None:
            original, _ = shrink(originals[sample].read_bytes(), _SIDE)
            picture, _ = shrink(masked[sample].read_bytes(), _SIDE)
            for thumbnail in (original, original, picture):
                encode(thumbnail, "jpg", 82)

        def thumbnails() -> None:
            with ThreadPoolExecutor(default_num_workers("auto")) as pool:
                list(pool.map(alone, range(samples)))

        def gallery() -> None:
            shutil.rmtree(root / "SHOW", ignore_errors=True)
            show(ShowConfig(runs=(folder,), output=root / "SHOW", thumbnail_side=_SIDE), console)

        ratio = compare(gallery, thumbnails, rounds, cpu_seconds)
        return [
            {
                "samples": samples,
                "gallery CPU s": ratio.a_seconds,
                "thumbnails CPU s": ratio.b_seconds,
                "ratio": ratio.median,
                "lowest": ratio.low,
                "highest": ratio.high,
                "first picture s": _first_picture(root / "SHOW" / "index.html"),
            }
        ]


def _write_pictures(root: Path, number: int) -> list[Path]:
    """So many different pictures: photographs, each with a patch of a colour of its own."""
    photographs = write_photographs(root / "photographs", min(number, 120))
    (root / "pictures").mkdir()
    paths = []
    for n in range(number):
        with Image.open(photographs[n % len(photographs)]) as image:
            image.paste((n % 256, n // 256 * 16, 128), (0, 0, 96, 96))
            paths.append(root / "pictures" / f"{n:04d}.jpg")
            image.save(paths[-1], quality=90)
    return paths


def _first_picture(page: Path) -> Any:
    """Seconds from opening a page to its first picture on screen, in Chromium; median of five."""
    executable = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "no playwright"
    if executable is None:
        return "no chromium"
    seconds = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        for _ in range(5):
            context = browser.new_context()
            context.add_init_script(_LOOKS)
            tab = context.new_page()
            tab.goto(page.as_uri())
            tab.wait_for_function("() => window.firstPicture !== undefined")
            seconds.append(tab.evaluate("() => window.firstPicture") / 1000)
            context.close()
        browser.close()
    return sorted(seconds)[2]

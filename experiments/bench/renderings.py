"""Every rendering at a megapixel, and twelve of them from kept maps against their own work."""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from api_cli.masking import Keep, Mask, MaskSettings, clip_mask
from api_cli.masking.renderings import RENDERINGS, Scene
from api_cli.options.launch import default_num_workers
from api_cli.relevance import Read
from api_cli.runs.map_store import MapStore
from api_cli.runs.pictures import decode, encode
from experiments.bench.common import Bench, Row, compare, cpu_seconds, write_photographs

_KEEP = Keep(0.2, 1)
TWELVE = [
    *(MaskSettings(render=name) for name in RENDERINGS),
    *(MaskSettings(render=name, keep=_KEEP) for name in ("black", "outline", "crop", "pair")),
]


def measure(photographs: int, rounds: int) -> list[Row]:
    """CPU milliseconds of each rendering, drawn and encoded, beside `fade`; medians."""
    random = np.random.default_rng(0)
    mask = Mask(random.random((24, 24), dtype=np.float32), flat=False)
    with tempfile.TemporaryDirectory() as temporary:
        images = [decode(p.read_bytes()) for p in write_photographs(Path(temporary), photographs)]
    rows = []
    for name in RENDERINGS:
        times = [_times(name, Scene(image, mask, (0, 0, 24, 24))) for image in images * rounds]
        drawing, encoding = (statistics.median(stage) for stage in zip(*times, strict=True))
        rows.append({"rendering": name, "draw CPU ms": drawing, "encode jpg CPU ms": encoding})
    return rows


def _times(name: str, scene: Scene) -> tuple[float, float]:
    """CPU milliseconds of drawing, and of encoding what is drawn."""
    start = time.process_time()
    drawn = RENDERINGS[name].draw(scene, MaskSettings(render=name))
    between = time.process_time()
    for image in drawn.images.values():
        encode(image, "jpg", 95)
    return 1e3 * (between - start), 1e3 * (time.process_time() - between)


def twelve(photographs: int, rounds: int) -> list[Row]:
    """CPU time of a run of twelve renderings from kept maps over that of the pictures alone.

    Alone they are decoded once, drawn, encoded and written, by as many threads as the run has.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bench = Bench("ViT-B-32", photographs, folder)
        store = MapStore(folder / "maps", {})
        layer = bench.model.number_of_layers - 2
        bench.run([(layer, MaskSettings())], store, "the first run")
        [(maps, _)] = bench.model.relevance(
            [bench.model.prepare(decode(bench.paths[0].read_bytes()))], ["what?"], [Read(layer)]
        )
        masks = {keep: clip_mask(maps[0], MaskSettings(keep=keep)) for keep in (None, _KEEP)}
        box = (0, 0, *bench.model.grid[::-1])
        out = folder / "bare"
        out.mkdir()

        def one(path: Path) -> None:
            image = decode(path.read_bytes())
            scenes = {keep: Scene(image, mask, box) for keep, mask in masks.items()}
            for number, settings in enumerate(TWELVE):
                drawn = RENDERINGS[settings.render].draw(scenes[settings.keep], settings)
                for column, made in drawn.images.items():
                    name = f"{number}-{column}-{path.name}"
                    (out / name).write_bytes(encode(made, "jpg", 95))

        def bare() -> None:
            with ThreadPoolExecutor(default_num_workers("auto")) as pool:
                list(pool.map(one, bench.paths))

        def from_maps() -> None:
            done = bench.run([(layer, settings) for settings in TWELVE], store, "the first run")
            assert done.seconds_model == 0, "the model was used"

        ratio = compare(from_maps, bare, rounds, cpu_seconds)
        return [
            {
                "photographs": photographs,
                "12 from kept maps CPU s": ratio.a_seconds,
                "12 alone CPU s": ratio.b_seconds,
                "ratio": ratio.median,
                "lowest": ratio.low,
                "highest": ratio.high,
            }
        ]

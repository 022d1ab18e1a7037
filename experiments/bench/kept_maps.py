"""A run from kept maps against making its pictures alone, whatever is made of the maps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from api_cli.masking import Array, Box, MaskSettings
from api_cli.options.launch import default_num_workers
from api_cli.runs.map_store import MapStore
from api_cli.runs.pictures import decode
from experiments.bench.common import Bench, Ratio, compare

Draw = Callable[[Image.Image], Iterable[bytes]]


def against_alone(
    settings: Sequence[MaskSettings],
    alone: Callable[[Array, Box], Draw],
    photographs: int,
    rounds: int,
    clock: Callable[[Callable[[], object]], float] | None = None,
) -> Ratio:
    """Time of a run in some settings from kept maps over that of the pictures' own work.

    Alone they are decoded once, drawn, encoded and written, by as many threads as the run has. The
    kept maps are of ViT-B-32's size; which model made them does not matter here.

    Args:
        settings: of the run.
        alone: maps (2, h, w) and the picture's outline on the grid to what makes of a photograph
            the files of all settings; masks are made before, and not timed.
        photographs: how many, of a megapixel.
        rounds: pairs of the two.
        clock: see `compare`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bench = Bench("ViT-B-32", photographs, folder)
        store = MapStore(folder / "maps", {})
        layer = bench.model.number_of_layers - 2
        bench.run([(layer, MaskSettings())], store, "the first run")
        [(maps, _)] = bench.model.relevance(
            [bench.model.prepare(decode(bench.paths[0].read_bytes()))], ["what?"], [layer]
        )
        draw = alone(maps[0], (0, 0, *bench.model.grid[::-1]))
        out = folder / "bare"
        out.mkdir()

        def one(path: Path) -> None:
            for number, content in enumerate(draw(decode(path.read_bytes()))):
                (out / f"{number}_{path.name}").write_bytes(content)

        def bare() -> None:
            with ThreadPoolExecutor(default_num_workers("auto")) as pool:
                list(pool.map(one, bench.paths))

        def from_maps() -> None:
            done = bench.run([(layer, one) for one in settings], store, "the first run")
            assert done.seconds_model == 0, "the model was used"

        return compare(from_maps, bare, rounds, clock)

"""A run from kept maps against decoding, blending and encoding alone."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api_cli.masking import MaskSettings, apply_mask, clip_mask
from api_cli.options.launch import default_num_workers
from api_cli.runs.map_store import MapStore
from api_cli.runs.pictures import decode, encode
from experiments.bench.common import Bench, Row, compare


def measure(photographs: int, rounds: int) -> list[Row]:
    """Time of a run with other mask parameters over that of the pictures' own work.

    The kept maps are of ViT-L-14-336's size; which model made them does not matter here. The bare
    work has as many threads as the run.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bench = Bench("ViT-B-32", photographs, folder)
        store = MapStore(folder / "maps", {})
        layer = bench.model.number_of_layers - 2
        bench.run([(layer, MaskSettings())], store, "the first run")
        again = MaskSettings(enhance_coe=2, kernel_size=1)
        [(maps, _)] = bench.model.relevance(
            [bench.model.prepare(decode(bench.paths[0].read_bytes()))], ["what?"], [layer]
        )
        mask, box = clip_mask(maps[0], again), (0, 0, *bench.model.grid[::-1])
        out = folder / "bare"
        out.mkdir()

        def one(path: Path) -> None:
            masked = apply_mask(decode(path.read_bytes()), mask, again, box)
            (out / path.name).write_bytes(encode(masked, "jpg", 95))

        def bare() -> None:
            with ThreadPoolExecutor(default_num_workers("auto")) as pool:
                list(pool.map(one, bench.paths))

        def from_maps() -> None:
            done = bench.run([(layer, again)], store, "the first run")
            assert done.seconds_model == 0, "the model was used"

        ratio = compare(from_maps, bare, rounds)
        return [
            {
                "photographs": photographs,
                "from kept maps s": ratio.a_seconds,
                "pictures alone s": ratio.b_seconds,
                "ratio": ratio.median,
                "lowest": ratio.low,
                "highest": ratio.high,
            }
        ]

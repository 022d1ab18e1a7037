"""CPU milliseconds from a slider of the page in the browser to its new picture, at a megapixel."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from api_cli.masking.renderings import RENDERINGS
from api_cli.pages.web.choice import METHODS, configuration
from api_cli.pages.web.studio import Studio, draw
from api_cli.runs.pictures import encode
from experiments.bench.common import Row, write_photographs


def measure(rounds: int) -> list[Row]:
    """Median of drawing and encoding, by method and rendering; the model has answered before."""
    studio = Studio(10**8)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        [path] = write_photographs(Path(temporary), 1)
        picture = studio.open(path)
    for method in METHODS:
        chosen = {"model_name": "demo", "fit": "squash"}
        look = studio.look(picture, "Where is the cat?", configuration(method, chosen, "cpu"))
        for name in RENDERINGS:
            times = []
            for number in range(rounds):
                start = time.process_time()
                contrast = {"render": name, "enhance_coe": 1 + number}
                config = configuration(method, {**chosen, **contrast}, "cpu")
                for image in draw(look, config)[0].values():
                    encode(image, "jpg", 95)
                times.append(1000 * (time.process_time() - start))
            rows.append({"method": method, "render": name, "CPU ms": statistics.median(times)})
    return rows

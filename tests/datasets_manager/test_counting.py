"""The counting set that travels with the package: what its questions ask is what it shows."""

from __future__ import annotations

import io
from collections import Counter

from PIL import Image

from datasets_manager import get_dataset
from datasets_manager.counting import FOLDER

NUMBERS = ("zero", "one", "two", "three", "four")


def test_the_answer_is_the_number_of_things_that_are_asked_about():
    samples = get_dataset("counting")
    answers = Counter(s.extra["answer"] for s in samples)
    assert (len(samples), answers["one"]) == (300, 150)
    assert answers.keys() == {"one", "two", "three", "four"}
    for sample in samples:
        names = [thing["name"] for thing in sample.extra["objects"]]
        asked = sample.extra["asked"]
        assert sample.extra["answer"] == NUMBERS[len(asked)]
        assert len({names[n] for n in asked}) == 1
        noun = names[asked[0]].split()[-1]
        same_kind = [n for n, name in enumerate(names) if name.split()[-1] == noun]
        assert same_kind == asked or names[asked[0]].split()[0] in sample.question, "ambiguous"
        assert 4 <= len(names) <= 8


def test_its_pictures_are_whole_and_small():
    samples = get_dataset("counting")
    for sample in samples[::10]:
        with Image.open(io.BytesIO(sample.read_image())) as image:
            image.load()
            assert image.size == (192, 192)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) < 2_000_000

"""What becomes of keys from anywhere: names of files that are safe, and nobody else's."""

from __future__ import annotations

import os
import unicodedata

import datasets.packaged_modules
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_cli.runs import names
from api_cli.runs.names import SampleNames, portable_name, safe_name

HARMLESS = [
    "v1_0",
    "0",
    "猫の写真",
    "a b",
    "COCO_2014_000000001.x",
    "Test",
    "contest_1",
    "x.png",
    "1.5",
    "données",
]
HARMFUL = [
    "", ".", "..", "../up", "/etc/passwd", "a/b", "a\\b", "a\nb", "nul\0", "CON", "con.txt", "LPT1",
    ".hidden", "trailing.", " space", "space ", "x" * 300, "é" * 100, "a:b", 'q"?*<>|',
    "\ud800", unicodedata.normalize("NFD", "données"), "a~0123456789abcdef", "\u202eevil",
]  # fmt: skip


@pytest.mark.parametrize("key", HARMLESS)
def test_harmless_keys_are_their_files_names(key):
    assert safe_name(key) == key


@pytest.mark.parametrize(
    ("key", "begins"),
    [
        ("validation_Art_1", "validation~_Art_1~"),
        ("test-4", "test~-4~"),
        ("my test", "my test~"),
        ("COCO_val2014_000000001", "COCO_val~2014_000000001~"),
        ("a/dev/train.1", "a_dev~_train~.1~"),
        ("page.html.csv", "page.html.csv~"),
        ("a.TXT.b", "a.TXT~.b~"),
    ],
)
def test_words_that_datasets_reads_as_splits_or_formats_are_ended(key, begins):
    name = safe_name(key)
    assert name.startswith(begins)
    assert len(name) == len(begins) + 16
    assert portable_name(key) in (key, f"{key.replace('/', '_')}~{name[-16:]}")


@pytest.mark.parametrize("key", ["$HOME", "only ${PATH} 5", "US$_1"])
def test_what_datasets_reads_as_a_variable_is_none_in_a_name(key):
    for name in (safe_name(key), portable_name(key), safe_name(f"{key} test")):
        assert os.path.expandvars(name) == name
        assert name.startswith(key[: key.index("$")] + "_")


def test_endings_that_datasets_takes_for_something_else_than_pictures_are_known():
    modules = datasets.packaged_modules._EXTENSION_TO_MODULE
    others = {end.lower()[1:] for end, (name, _) in modules.items() if name != "imagefolder"}
    known = set(names._NO_PICTURES.split("|"))
    assert others <= known
    assert not {end.lower()[1:] for end in modules if end.lower()[1:] not in others} & known


def test_two_keys_never_share_a_file():
    keys = [*HARMLESS, *HARMFUL, *map(safe_name, HARMFUL), "x" * 301, "a?b", "a*b", "a_b"]
    names = {key: safe_name(key) for key in keys}
    assert len(set(names.values())) == len(names)


CROWDS = [
    ["Cat", "cat", "dog"],
    ["STRASSE", "straße", "strasse"],
    ["É", "é", unicodedata.normalize("NFD", "é"), unicodedata.normalize("NFD", "É")],
    ["cat", "cat.cls_map", "cat.attention_map", "Cat.patch_map"],
    ["a~0123456789abcdef", "A~0123456789ABCDEF"],
    ["\u03c3", "\u03c2", "\u03a3"],
]


def files(names_of: SampleNames, key: str) -> set[str]:
    endings = (".jpg", ".npy", ".cls_map.jpg", ".patch_map.jpg", ".attention_map.jpg")
    return {names._fold(names_of(key) + ending) for ending in endings}


@pytest.mark.parametrize("keys", CROWDS, ids=" ".join)
def test_no_file_of_a_sample_is_anothers_on_any_file_system(keys):
    of = SampleNames(keys)
    assert len(set.union(*(files(of, key) for key in keys))) == 5 * len(keys)


def test_only_the_names_that_are_crowded_get_a_digest():
    of = SampleNames(["Cat", "cat", "dog", "1", "1.5"])
    assert [of(key) for key in ("dog", "1", "1.5")] == ["dog", "1", "1.5"]
    assert of("Cat").startswith("Cat~")
    assert of("cat").startswith("cat~")


@given(st.sets(st.text("aAbB.é_~cls_map-test1" + chr(0x301), max_size=12), max_size=12))
def test_names_stay_apart_whatever_the_keys(keys):
    of = SampleNames(keys)
    assert len(set().union(*(files(of, key) for key in keys))) == 5 * len(keys)

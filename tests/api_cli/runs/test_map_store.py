"""Maps that are kept: found again, never mixed up, never trusted blindly."""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from api_cli.relevance import Relevance
from api_cli.runs.map_store import FOLDER, MapStore, list_stores, remove_store

IDENTITY = {"method": "clip", "weights": "0123", "fit": "paper", "precision": "fp32"}


def random_maps(seed: int, layers: int = 2, shape: tuple[int, int] = (7, 7)) -> Relevance:
    maps = np.random.default_rng(seed).standard_normal((layers, 2, *shape), dtype=np.float32)
    return Relevance(maps, {} if seed % 2 else {"auxiliary_answer": "\U0001f408" * (seed % 5)})


def assert_same(found: Relevance | None, expected: Relevance) -> None:
    assert found is not None
    np.testing.assert_array_equal(found.maps, expected.maps)
    assert found.facts == expected.facts


@pytest.fixture
def store(tmp_path) -> MapStore:
    return MapStore(tmp_path / "maps", IDENTITY)


def reopen(store: MapStore, **changes: str) -> MapStore:
    return MapStore(store._folder, IDENTITY | changes)


def test_maps_come_back_as_they_were_put(store):
    wide, square = random_maps(0, shape=(4, 7)), random_maps(1)
    store.put([("a", "what?", [3, 5], wide), ("b", "what?", [3, 5], square)])
    for opened in (store, reopen(store)):
        assert_same(opened.get("a", "what?", [5, 3]), wide._replace(maps=wide.maps[::-1]))
        assert_same(opened.get("b", "what?", [3]), square._replace(maps=square.maps[:1]))
        assert opened.get("b", "who?", [3]) is None
        assert opened.get("b", "what?", [3, 4]) is None
        assert opened.get("c", "what?", [3]) is None


def test_many_batches_make_few_files(store):
    for batch in range(400):
        store.put([(f"{batch} {i}", "?", [0], random_maps(batch * 8 + i, 1)) for i in range(8)])
    assert len(list(store._folder.glob("*.safetensors"))) < 64
    again = reopen(store)
    assert len(again) == 3200
    for opened in (store, again):
        assert_same(opened.get("123 4", "?", [0]), random_maps(123 * 8 + 4, 1))


def test_a_damaged_shard_is_set_aside_and_made_again(store):
    store.put([("a", "?", [0], random_maps(0, 1))])
    store.put([("b", "?", [0], random_maps(1, 1))])
    first = min(store._folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    first.write_bytes(first.read_bytes()[:-100])
    opened = reopen(store)
    assert opened.damaged == [first]
    assert opened.get("a", "?", [0]) is None
    assert opened.get("b", "?", [0]) is not None
    opened.put([("a", "?", [0], random_maps(0, 1))])
    assert reopen(store).get("a", "?", [0]) is not None


@pytest.mark.parametrize("change", [{"weights": "4567"}, {"fit": "pad"}, {"precision": "bf16"}])
def test_a_foreign_shard_is_not_used(change, store):
    store.put([("a", "?", [0], random_maps(0, 1))])
    opened = reopen(store, **change)
    assert opened.get("a", "?", [0]) is None
    assert len(opened.damaged) == 1


def test_two_processes_share_a_store_while_it_is_merged(store):
    other = reopen(store)
    for i in range(100):
        for opened, name in ((store, "a"), (other, "b")):
            opened.put([(f"{name}{i}", "?", [0], random_maps(i, 1))])
    for opened, name in ((store, "a"), (other, "b"), (reopen(store), "a"), (reopen(store), "b")):
        for i in range(100):
            assert_same(opened.get(f"{name}{i}", "?", [0]), random_maps(i, 1))


def write_strange_shard(folder: Path, name: str, header: dict[str, str], **tensors: Any) -> None:
    folder.mkdir(exist_ok=True)
    whole: dict[str, Any] = {
        "maps.7x7": np.zeros((1, 2, 7, 7), np.float32),
        "facts.7x7": np.zeros((1, 2), np.uint8),
        "keys.7x7": np.zeros((1, 16), np.uint8),
        "sums.7x7": np.zeros(1, np.uint32),
    }
    changed = whole | {kind + ".7x7": tensor for kind, tensor in tensors.items()}
    present = {kind: tensor for kind, tensor in changed.items() if tensor is not None}
    save_file(present, folder / f"maps-{name}.safetensors", metadata=header)


@pytest.mark.parametrize(
    "tensors",
    [
        {"maps": None},  # keys without maps
        {"sums": None},
        {"maps": np.zeros((1, 2, 7, 7), np.float64)},
        {"maps": np.zeros((1, 7, 7), np.float32)},
        {"maps": np.zeros((2, 2, 7, 7), np.float32)},
        {"keys": np.zeros((1, 15), np.uint8)},
        {"keys": np.zeros((1, 16), np.float32)},
        {"sums": np.zeros((1, 1), np.uint32)},
        {"facts": np.zeros((1, 2), np.int64)},
    ],
)
def test_a_shard_of_other_types_or_shapes_is_set_aside_and_said_once(tensors, store):
    store.put([("a", "?", [0], random_maps(0, 1))])
    write_strange_shard(store._folder, "000001-strange", store._header, **tensors)
    said: list[str] = []
    opened = MapStore(store._folder, IDENTITY, said.append)
    assert_same(opened.get("a", "?", [0]), random_maps(0, 1))
    assert opened.get("b", "?", [0]) is None
    [line] = said
    assert "set aside, and made again (maps-000001-strange.safetensors)" in line
    MapStore(store._folder, IDENTITY, said.append)
    assert len(said) == 1, "not at every start"


def test_names_that_no_store_gives_are_no_maps_and_end_nothing(store, tmp_path):
    store.put([("a", "?", [0], random_maps(0, 1))])
    for name in ("maps-many.safetensors", "strange.safetensors", "maps-.safetensors"):
        (store._folder / name).write_bytes(b"")
    (store._folder / "maps-000001-folder.safetensors").mkdir()
    opened = reopen(store)
    assert_same(opened.get("a", "?", [0]), random_maps(0, 1))
    opened.put([("b", "?", [0], random_maps(1, 1))])
    (tmp_path / FOLDER).mkdir()
    store._folder.rename(tmp_path / FOLDER / "one")
    [size] = list_stores(tmp_path)
    assert size.maps == 2


def test_a_changed_number_is_made_again_once(store):
    store.put([("a", "?", [0], random_maps(0, 1)), ("b", "?", [0], random_maps(1, 1))])
    [shard] = store._folder.glob("*.safetensors")
    tensors = {name: tensor.copy() for name, tensor in load_file(shard).items()}
    tensors["maps.7x7"][0, 0, 3, 3] += 1e-3
    save_file(tensors, shard, metadata=store._header)
    said: list[str] = []
    opened = MapStore(store._folder, IDENTITY, said.append)
    assert opened.get("a", "?", [0]) is None
    assert opened.get("a", "?", [0]) is None
    assert_same(opened.get("b", "?", [0]), random_maps(1, 1))
    opened.put([("a", "?", [0], random_maps(0, 1))])
    again = MapStore(store._folder, IDENTITY, said.append)
    assert_same(again.get("a", "?", [0]), random_maps(0, 1))
    assert_same(again.get("b", "?", [0]), random_maps(1, 1))
    assert len(said) == 1


@pytest.mark.parametrize("obstacle", ["a file", "a file above", "a full disk"])
def test_where_nothing_can_be_kept_it_is_said_once(obstacle, tmp_path):
    said: list[str] = []
    place = tmp_path / ".maps"
    if obstacle != "a full disk":
        place.write_text("")
    store = MapStore(place if obstacle == "a file" else place / "one", IDENTITY, said.append)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        for i in range(3):
            store.put([(f"{i}", "?", [0], random_maps(i, 1))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.get("1", "?", [0]) is None
    [line] = said
    assert str(place) in line
    assert "the run goes on without; --no-map-store" in line


def test_a_store_that_is_pruned_under_a_run_is_begun_anew(tmp_path):
    said: list[str] = []
    store = MapStore(tmp_path / FOLDER / "one", IDENTITY, said.append)
    store.put([("a", "?", [0], random_maps(0, 1))])
    remove_store(tmp_path / FOLDER / "one")
    assert list((tmp_path / FOLDER).iterdir()) == []
    assert store.get("a", "?", [0]) is None
    store.put([("b", "?", [0], random_maps(1, 1))])
    assert_same(store.get("b", "?", [0]), random_maps(1, 1))

    done = threading.Event()

    def prune() -> None:
        while not done.is_set():
            for size in list_stores(tmp_path):
                remove_store(size.folder)

    pruning = threading.Thread(target=prune)
    pruning.start()
    for i in range(200):
        store.put([(f"{i}", "?", [0], random_maps(i, 1))])
        found = store.get(f"{i}", "?", [0])
        assert found is None or found.maps.shape == (1, 2, 7, 7)
    done.set()
    pruning.join()
    assert said == []
    remove_store(tmp_path / FOLDER / "one")
    assert list((tmp_path / FOLDER).iterdir()) == []

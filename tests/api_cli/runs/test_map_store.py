"""Maps that are kept: found again, never mixed up, never trusted blindly."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from api_cli.relevance import Relevance
from api_cli.runs.map_store import MapStore

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


def test_a_changed_number_is_noticed(store):
    store.put([("a", "?", [0], random_maps(0, 1)), ("b", "?", [0], random_maps(1, 1))])
    [shard] = store._folder.glob("*.safetensors")
    tensors = {name: tensor.copy() for name, tensor in load_file(shard).items()}
    tensors["maps.7x7"][0, 0, 3, 3] += 1e-3
    save_file(tensors, shard, metadata=store._header)
    opened = reopen(store)
    assert opened.damaged == []
    assert opened.get("a", "?", [0]) is None
    assert opened.get("b", "?", [0]) is not None


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

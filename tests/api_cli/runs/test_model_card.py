"""What is remembered of models: never stale, never in the way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from api_cli.runs.model_card import ModelCard, forget, recall, remember

CARD = ModelCard("small", "0123456789abcdef", 4, (7, 7), -2, "fp32", (0, 1, 2, 3))
WORDS = ("clip", "small")


@pytest.fixture
def weights(tmp_path) -> Path:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"one")
    return file


def test_a_card_is_recalled_while_its_weights_stay(tmp_path, weights):
    remember(tmp_path, WORDS, CARD, [weights])
    remember(tmp_path, ("llava", "small"), CARD._replace(weights="other"), [weights])
    assert recall(tmp_path, WORDS) == CARD
    assert recall(tmp_path, ("clip", "another")) is None
    forget(tmp_path, WORDS)
    assert recall(tmp_path, WORDS) is None
    assert recall(tmp_path, ("llava", "small")) == CARD._replace(weights="other")


def exchange(weights: Path) -> None:
    weights.write_bytes(b"two")


def exchange_by_another_file(weights: Path) -> None:
    other = weights.with_name("other")
    other.write_bytes(b"two")
    other.replace(weights)


def exchange_by_a_link(weights: Path) -> None:
    other = weights.with_name("other")
    other.write_bytes(b"two")
    weights.unlink()
    weights.symlink_to(other)


@pytest.mark.parametrize("change", [exchange, exchange_by_another_file, exchange_by_a_link])
def test_weights_exchanged_with_size_and_time_kept_are_noticed(change, tmp_path, weights):
    remember(tmp_path, WORDS, CARD, [weights])
    status = weights.stat()
    change(weights)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert weights.stat().st_mtime_ns == status.st_mtime_ns
    assert recall(tmp_path, WORDS) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"clip small": []}',
        b'{"clip small": {"files": 3}}',
        b'{"clip small": {"files": [[]]}}',
        b'{"clip small": {"files": [["\\u0000"]]}}',
    ],
)
def test_a_damaged_file_of_cards_is_no_cards_and_written_anew(content, tmp_path, weights):
    (tmp_path / "models.json").write_bytes(content)
    assert recall(tmp_path, WORDS) is None
    remember(tmp_path, WORDS, CARD, [weights])
    assert recall(tmp_path, WORDS) == CARD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number_of_layers", "four"),
        ("number_of_layers", True),
        ("grid", [7]),
        ("grid", ["7", 7]),
        ("default_layer", None),
        ("weights", 3),
        ("short_name", ["small"]),
        ("readable_layers", 4),
        ("readable_layers", ["1", 3]),
    ],
)
def test_a_card_with_a_value_of_another_type_is_none(field, value: Any, tmp_path, weights):
    remember(tmp_path, WORDS, CARD, [weights])
    cards = json.loads((tmp_path / "models.json").read_text())
    cards["clip small"][field] = value
    (tmp_path / "models.json").write_text(json.dumps(cards))
    assert recall(tmp_path, WORDS) is None


def test_a_card_of_a_version_that_knew_less_is_none(tmp_path, weights):
    remember(tmp_path, WORDS, CARD, [weights])
    cards = json.loads((tmp_path / "models.json").read_text())
    del cards["clip small"]["readable_layers"]
    (tmp_path / "models.json").write_text(json.dumps(cards))
    assert recall(tmp_path, WORDS) is None


def test_half_written_cards_of_dead_processes_are_cleared(tmp_path, weights):
    half = tmp_path / ".node17.4711.1400.tmp"
    half.write_text("{")
    recall(tmp_path, WORDS)
    assert not half.exists()

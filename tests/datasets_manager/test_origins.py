"""What identifies pictures that are no files of their own: it changes when they may have."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import datasets
import pytest

from datasets_manager import DatasetOptions, get_dataset
from tests import hub_copies, layouts


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def settle(folder: Path, seconds: int) -> None:
    """Date files back, so that they count as settled."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (seconds, seconds))


def stamps(name: str, root: Path, **options: object) -> list[str | None]:
    return [s.stamp for s in get_dataset(name, root, DatasetOptions(**options))]  # type: ignore[arg-type]


@pytest.mark.parametrize("streaming", [True, False])
def test_rows_of_a_table_are_told_apart_and_change_with_it(streaming, tmp_path, photographs):
    pictures = [photographs["wide"].read_bytes(), photographs["square"].read_bytes()]
    rows = [{"question": "one?"}, {"question": "two?"}]
    folder = hub_copies.write_repository(tmp_path / "me" / "mine", "test", rows, pictures)
    settle(folder, 1_700_000_000)
    first = stamps("hf:me/mine", tmp_path, streaming=streaming)
    assert None not in first
    assert len(set(first)) == 2
    assert stamps("hf:me/mine", tmp_path, streaming=streaming) == first
    settle(folder, 1_700_000_099)
    assert not set(first) & set(stamps("hf:me/mine", tmp_path, streaming=streaming))


def test_a_table_that_has_just_changed_may_change_again(tmp_path, photographs):
    layouts.write_mmmu(tmp_path / "MMMU" / "MMMU", photographs)
    assert set(stamps("mmmu", tmp_path)) == {None}
    settle(tmp_path / "MMMU", 1_700_000_000)
    settled = stamps("mmmu", tmp_path)
    assert None not in settled
    assert len(set(settled)) == 33


def test_members_of_a_shard_are_told_apart_and_change_with_it(tmp_path, photographs):
    content = photographs["wide"].read_bytes()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in {
            "0.jpg": content,
            "0.txt": b"?",
            "1.jpg": content,
            "1.txt": b"?",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert stamps("webdataset:a.tar", tmp_path) == [None, None]
    settle(tmp_path, 1_700_000_000)
    first = stamps("webdataset:a.tar", tmp_path)
    assert None not in first
    assert len(set(first)) == 2
    settle(tmp_path, 1_700_000_099)
    assert not set(first) & set(stamps("webdataset:a.tar", tmp_path))


def test_gqas_questions_about_one_picture_have_one_origin(tmp_path, photographs):
    pictures = [photographs["wide"].read_bytes(), photographs["square"].read_bytes()]
    hub_copies.write_gqa(tmp_path / "GQA", pictures)
    one, other, same = stamps("GQA", tmp_path)
    assert one == same != other

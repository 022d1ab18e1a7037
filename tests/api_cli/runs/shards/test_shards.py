"""A shard that stands is a fragment that is done; every sample is accounted for."""

from __future__ import annotations

import json
import shutil
import tarfile
from hashlib import sha256
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml

from api_cli.console import Console
from api_cli.errors import RunFolderError, UsageError
from api_cli.masking.renderings import RENDERINGS
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.options.location import Url
from api_cli.runs.map_shards import unpack
from api_cli.runs.map_store import list_stores
from api_cli.runs.run import run
from api_cli.runs.run_folder import picture_files
from api_cli.runs.shards.keys import check_keys
from api_cli.runs.shards.place import Place
from api_cli.runs.shards.schema import Schema
from api_cli.runs.shards.sharded_folder import ShardedFolder
from tests.api_cli.runs.shards.conftest import (
    assert_alike,
    errors,
    found,
    keys,
    make_set,
    mask,
    stamps,
)
from tests.conftest import read_json_lines

pytestmark = pytest.mark.model

PARQUET = {"output_format": "parquet", "shard_size": 4}
TARS = {"output_format": "webdataset", "shard_size": 4}


def of(root: Path, **flags):
    return {"dataset": "imagefolder", "data_root": str(root), **flags}


@pytest.fixture(scope="module")
def as_folder(ten, tmp_path_factory):
    """The same samples in a run folder."""
    [folder], _ = mask(tmp_path_factory.mktemp("folder"), **of(ten))
    return folder


@pytest.fixture(scope="module", params=["parquet", "webdataset"])
def sharded(ten, tmp_path_factory, request):
    """A run into shards of either kind, of ten samples in three shards."""
    out = tmp_path_factory.mktemp("shards")
    [folder], report = mask(out, **of(ten, output_format=request.param, shard_size=4))
    assert report is not None
    assert (report.finished, report.failed, report.left) == (10, 0, ())
    return folder


def test_rows_and_pictures_are_those_of_a_folder(sharded, as_folder):
    rows = {row["key"]: row for row in read_json_lines(as_folder / "metadata.jsonl")}
    there = found(sharded)
    assert [one.row["key"] for one in there] == list(rows)
    for one in there:
        row = rows[one.row["key"]]
        name = row.pop("file_name")
        assert one.row == row
        [picture] = one.pictures.values()
        assert_alike(picture.read(), (as_folder / name).read_bytes())
        assert picture.file_name == name


def test_datasets_opens_shards_with_pictures_and_all_columns(sharded, as_folder, tmp_path):
    rows = read_json_lines(as_folder / "metadata.jsonl")
    opened = datasets.load_dataset(str(sharded), split="train", cache_dir=str(tmp_path))
    assert len(opened) == len(rows)
    tar = "json" in opened.column_names
    for row, known in zip(opened, rows, strict=True):
        picture, fields = (row["png"], row["json"]) if tar else (row["image"], row)
        assert picture.size == (64, 48)
        assert {name: fields[name] for name in known if name != "file_name"} == {
            name: value for name, value in known.items() if name != "file_name"
        }


@pytest.mark.parametrize("flags", [PARQUET, TARS], ids=lambda flags: flags["output_format"])
def test_every_rendering_has_its_pictures_and_facts(ten, tmp_path, flags):
    given = of(ten, range="0 2", render=",".join(RENDERINGS))
    folders, _ = mask(tmp_path / "folders", **given)
    sharded, _ = mask(tmp_path / "shards", **given, **flags)
    for name, folder, there in zip(RENDERINGS, folders, sharded, strict=True):
        rows = read_json_lines(folder / "metadata.jsonl")
        for row, one in zip(rows, found(there), strict=True):
            files = picture_files(row)
            assert one.row == {k: value for k, value in row.items() if k not in files}
            assert [*one.pictures] == [*files]
            for column, picture in one.pictures.items():
                assert picture.file_name == files[column]
                assert_alike(picture.read(), (folder / files[column]).read_bytes())
        loaded = datasets.load_dataset(str(there), split="train", cache_dir=str(tmp_path / "c"))
        fields = loaded[0]["json"] if flags is TARS else loaded[0]
        assert fields["other_columns"] is None, f"columns of {name} are known before"
        if name == "pair":
            crop = loaded[0]["crop.png" if flags is TARS else "crop"]
            assert max(crop.size) == 64
            assert len(fields["crop_box"]) == 4


def test_shards_are_named_as_the_hub_names_them(sharded):
    suffix = ".tar" if list((sharded / "data").glob("*.tar")) else ".parquet"
    names = [f"train-{n:05d}-of-00003{suffix}" for n in range(3)]
    assert sorted(path.name for path in (sharded / "data").iterdir()) == names
    if suffix == ".tar":
        with tarfile.open(sharded / "data" / names[0]) as archive:
            assert archive.getnames()[:2] == ["k0.png", "k0.json"]


@pytest.fixture
def whole(ten, tmp_path):
    """A run into parquet of its own, to be worked on."""
    out = tmp_path / "out"
    [folder], _ = mask(out, **of(ten, **PARQUET))
    return folder


def again(folder, root, **flags):
    """The same command."""
    return mask(folder.parents[1], **of(root, **{**PARQUET, **flags}))


def test_the_same_command_again_does_nothing(whole, ten):
    before = stamps(whole)
    assert again(whole, ten).report is None
    assert stamps(whole) == before


def test_what_is_missing_is_made_and_nothing_else(whole, ten):
    before = stamps(whole)
    lost = whole / "data" / "train-00001-of-00003.parquet"
    content = lost.read_bytes()
    lost.unlink()
    _, report = again(whole, ten)
    assert report is not None
    assert report.finished == 4
    assert len(lost.read_bytes()) == pytest.approx(len(content), rel=0.01)
    assert keys(whole) == [f"k{n}" for n in range(10)]
    assert {n: t for n, t in stamps(whole).items() if n != lost.name} == {
        n: t for n, t in before.items() if n != lost.name
    }


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"shard_size": 5}, "another plan.*shard_size is 5, was 4"),
        ({"range": "0 8"}, "another plan.*samples is 8, was 10"),
        ({"fit": "pad"}, "other settings: fit is 'pad', was 'paper'"),
        ({"output_format": "webdataset"}, "output_format is 'webdataset', was 'parquet'"),
        ({"output_format": "folder"}, "output_format is None, was 'parquet'"),
    ],
)
def test_another_plan_and_other_settings_are_refused(whole, ten, flags, says):
    before = stamps(whole)
    with pytest.raises(RunFolderError, match=says):
        again(whole, ten, **flags)
    assert stamps(whole) == before


def test_another_source_is_refused(whole, ten, tmp_path):
    other = shutil.copytree(ten, tmp_path / "other")
    text = (other / "metadata.jsonl").read_text().replace("thing 3", "thing 33")
    (other / "metadata.jsonl").write_text(text)
    with pytest.raises(RunFolderError, match=r"another plan.*source is"):
        again(whole, other)


def test_overwriting_begins_anew_and_leaves_what_is_the_user_s(whole, ten):
    (whole / "data" / "mine.txt").write_text("mine")
    _, report = again(whole, ten, shard_size=5, overwrite=True)
    assert report is not None
    assert report.finished == 10
    assert sorted(stamps(whole)) == [
        "mine.txt", "train-00000-of-00002.parquet", "train-00001-of-00002.parquet"
    ]  # fmt: skip


def test_shards_of_a_job_array_make_one_run(ten, tmp_path, whole):
    out = tmp_path / "array"
    for shard in ("0/2", "1/2"):
        [folder], report = mask(out, **of(ten, shard=shard, **PARQUET))
        assert report is not None
    for one, other in zip(found(folder), found(whole), strict=True):
        assert one.row == other.row
        assert_alike(one.pictures["file_name"].read(), other.pictures["file_name"].read())


def test_failed_samples_stand_apart_until_they_are_asked_for_again(tmp_path):
    root = make_set(tmp_path / "set", 10, broken=(5, 9))
    out = tmp_path / "out"
    [folder], report = mask(out, **of(root, **PARQUET))
    assert report is not None
    assert (report.finished, report.failed) == (8, 2)
    assert "2 samples failed" in report.left[0]
    assert [(row["key"], row["stage"]) for row in errors(folder)] == [
        ("k5", "read"),
        ("k9", "read"),
    ]
    assert sorted(keys(folder) + [row["key"] for row in errors(folder)]) == sorted(
        f"k{n}" for n in range(10)
    )
    make_set(tmp_path / "mended", 10)
    (root / "0005.png").write_bytes((tmp_path / "mended" / "0005.png").read_bytes())
    before = stamps(folder)
    _, standing = mask(out, **of(root, **PARQUET))
    assert standing is not None
    assert "--retry-failed" in standing.left[0]  # so that the command ends with 3
    assert stamps(folder) == before

    _, report = mask(out, **of(root, retry_failed=True, **PARQUET))
    assert report is not None
    assert (report.finished, report.failed) == (5, 1)
    assert [row["key"] for row in errors(folder)] == ["k9"]
    assert len(keys(folder)) == len(set(keys(folder))) == 9
    first = "train-00000-of-00003.parquet"
    assert stamps(folder)[first] == before[first]


def test_a_sweep_makes_a_folder_a_variant_from_kept_maps(ten, tmp_path, whole, monkeypatch):
    monkeypatch.setattr("api_cli.runs.assembly.Assembly.load", None)  # nobody loads a model
    [one, two], report = again(whole, ten, enhance_coe="5,10")
    assert one == whole
    assert report is not None
    assert report.finished == 10
    assert keys(two) == keys(one)
    digests = [
        [sha256(found_one.pictures["file_name"].read()).hexdigest() for found_one in found(folder)]
        for folder in (one, two)
    ]
    assert digests[0] != digests[1]
    (two / "data" / "train-00002-of-00003.parquet").unlink()
    before = stamps(one)
    _, report = again(whole, ten, enhance_coe="5,10")
    assert report is not None
    assert report.finished == 2
    assert stamps(one) == before
    maps = sorted((whole.parents[1] / ".maps").rglob("train-*.safetensors"))
    assert [path.name for path in maps] == [f"train-{n:05d}-of-00003.safetensors" for n in range(3)]
    [store] = list_stores(whole.parents[1])
    assert (store.maps, store.files) == (10, 3), "as `apiprompt maps` says"


def test_damaged_maps_are_made_again(whole, ten):
    maps = sorted((whole.parents[1] / ".maps").rglob("train-*.safetensors"))
    content = maps[0].read_bytes()
    maps[0].write_bytes(content[: len(content) // 2])
    _, report = again(whole, ten, enhance_coe=7)
    assert report is not None
    assert report.finished == 10
    kept = unpack(maps[0].read_bytes())
    assert kept.keys() == unpack(content).keys()
    for key, entry in unpack(content).items():
        np.testing.assert_allclose(kept[key].map, entry.map, atol=1e-5)


@pytest.mark.parametrize("flags", [PARQUET, TARS])
def test_maps_that_are_asked_for_are_columns(ten, tmp_path, flags):
    [folder], _ = mask(tmp_path, **of(ten, save_maps=True, range="0 2", **flags))
    [row, _] = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "c"))
    names = ("cls_map", "patch_map") if flags is PARQUET else ("cls_map.jpg", "patch_map.jpg")
    assert [row[name].size for name in names] == [(64, 48)] * 2
    content = row["npy"]
    if isinstance(content, bytes):
        (tmp_path / "map.npy").write_bytes(content)
        content = np.load(tmp_path / "map.npy")
    assert np.asarray(content).shape[0] == 2


def test_an_object_store_takes_a_run_and_knows_it_again(ten, as_folder):
    out = Url("memory://bucket/runs")
    [folder], report = mask(out, **of(ten, **PARQUET))
    assert report is not None
    assert report.finished == 10
    assert isinstance(folder, Url)
    assert str(folder).startswith("memory://bucket/runs/APICLIP_imagefolder_demo_3/")
    assert mask(out, **of(ten, **PARQUET)).report is None
    assert keys(folder) == [row["key"] for row in read_json_lines(as_folder / "metadata.jsonl")]


def test_keys_that_samples_of_two_shards_share_are_found_at_the_end(tmp_path, photographs):
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture = {"bytes": photographs["wide"].read_bytes(), "path": "a.jpg"}
    rows = [{"image": picture, "question": "What?", "key": key} for key in "abcdeb"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    flags = {"dataset": f"parquet:{tmp_path}/a.parquet", "output_format": "parquet"}
    out = tmp_path / "out"
    [folder], report = mask(out, shard_size=2, **flags)
    assert report is not None
    assert "1 samples have the key of another one in another shard ('b')" in report.left[0]
    again = mask(out, shard_size=2, **flags).report
    assert again is not None
    assert again.left == report.left
    checked = ShardedFolder(Place(folder), "parquet", 3, "png", Schema((), {}))
    assert check_keys(checked, anew=True, at_once=2) == check_keys(checked, anew=False)


def test_a_fragment_that_does_not_open_costs_itself(tmp_path, photographs):
    from tests.datasets_manager.test_fragments import write_tar

    write_tar(tmp_path / "0.tar", ["a", "b"], photographs)
    (tmp_path / "1.tar").write_bytes(b"no tar")
    write_tar(tmp_path / "2.tar", ["c"], photographs)
    flags = {"dataset": f"webdataset:{tmp_path}/*.tar", "output_format": "webdataset"}
    [folder], report = mask(tmp_path / "out", **flags)
    assert report is not None
    assert keys(folder) == ["a", "b", "c"]
    assert "1 of 3 fragments are not done" in report.left[0]


def test_run_yaml_holds_settings_weights_and_plan(whole):
    record = yaml.safe_load((whole / "run.yaml").read_text())
    assert record["settings"]["weights"]
    assert record["plan"].items() >= {"shard_size": 4, "fragments": 3, "samples": 10}.items()
    assert record["plan"]["columns"]["answer"] == "int64"


def test_what_does_not_fit_the_columns_stands_beside_them(tmp_path, ten):
    root = shutil.copytree(ten, tmp_path / "set")
    rows = read_json_lines(root / "metadata.jsonl")
    rows[8] |= {"answer": "eight", "only_here": [1, 2]}
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [folder], _ = mask(tmp_path / "out", **of(root, **PARQUET))
    there = {one.row["key"]: one.row for one in found(folder)}
    assert there["k8"]["answer"] == "eight"
    assert there["k8"]["only_here"] == [1, 2]
    opened = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "c"))
    assert json.loads(opened[8]["other_columns"]) == {"answer": "eight", "only_here": [1, 2]}
    assert opened[7]["answer"] == 7


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"output_format": "parquet", "verify": True}, "--verify looks at all samples"),
        ({"output_format": "parquet", "shuffle_masks": 1}, "--shuffle-masks looks at all samples"),
        ({"output_format": "parquet", "format": "source"}, "--format source keeps names of files"),
        ({"engine": "ray"}, "--engine is of shards"),
        ({"retry_failed": True}, "--retry-failed is of shards"),
        (
            {"output_folder": "s3://bucket/run"},
            "s3://bucket/run: a folder of pictures needs a disk",
        ),
        ({"output_format": "parquet", "engine": "ray", "shard": "0/2"}, "--engine ray does not go"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, says):
    config = ClipConfig.resolve(flags, {})
    with pytest.raises(UsageError, match=says):
        run(config, Console(quiet=True), Launch())

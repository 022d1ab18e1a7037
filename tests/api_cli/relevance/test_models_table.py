"""docs/models.md says of every name of open_clip what the program does with it."""

from __future__ import annotations

import open_clip
import pytest

from api_cli.errors import ModelError
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from experiments.maintenance import models_table

# other tests add small architectures of their own to open_clip's
NAMES = [name for name in open_clip.list_models() if not name.startswith("tiny")]


def test_the_table_is_up_to_date():
    page = models_table.PAGE.read_text(encoding="utf-8")
    fresh = models_table.table(NAMES)
    if f"of open_clip {open_clip.__version__} " in page:
        assert models_table.put(page, fresh) == page, (
            "run python -m experiments.maintenance.models_table"
        )
    else:  # another version may know other names; what both know is said alike
        written = {row.split(" |")[0]: row for row in page.splitlines()}
        for row in fresh.splitlines():
            assert written.get(row.split(" |")[0], row) == row


def test_the_families_are_up_to_date():
    page = models_table.PAGE.read_text(encoding="utf-8")
    assert models_table.put(page, models_table.families_table(), "vlm") == page


def test_more_than_nine_in_fourteen_names_are_read():
    rows = [models_table.row(name) for name in NAMES]
    assert sum("| refused" not in row for row in rows) / len(rows) > 9 / 14


@pytest.mark.parametrize("name", ["PE-Core-T-16-384", "ViT-L-14-CLIPA", "EVA02-L-14-336"])
def test_a_row_says_how_the_program_reads_a_model(name, tmp_path):
    (tmp_path / "weights.pt").touch()
    checkpoint = ClipCheckpoint(name, str(tmp_path / "weights.pt"))
    layer = checkpoint.number_of_layers + checkpoint.default_layer
    rows, columns = checkpoint.grid
    row = models_table.row(name)
    assert row.endswith(f"| {checkpoint.number_of_layers} | {layer} | {rows} x {columns} |")
    assert checkpoint.kind.name in row


@pytest.mark.parametrize("name", ["RN50", "ViTamin-S", "MobileCLIP-S1"])
def test_a_row_says_why_the_program_refuses_a_model(name):
    with pytest.raises(ModelError) as error:
        ClipCheckpoint(name)
    assert models_table.row(name).split("refused: ")[1].split(" | ")[0] in str(error.value)

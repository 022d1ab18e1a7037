"""LongCLIP's checkpoints become model folders."""

from __future__ import annotations

import open_clip
import pytest
import torch

from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.runs.pictures import decode
from experiments import convert_longclip

pytestmark = pytest.mark.model
LONG = 248


def a_longclip(prefix: str = "") -> tuple[open_clip.CLIP, dict[str, torch.Tensor]]:
    """A small model of LongCLIP's layout: open_clip's before, and the checkpoint's tensors."""
    torch.manual_seed(0)
    model = open_clip.CLIP(
        embed_dim=32,
        quick_gelu=True,
        vision_cfg={"image_size": 32, "patch_size": 8, "width": 64, "head_width": 64, "layers": 3},
        text_cfg={"context_length": LONG, "width": 64, "heads": 1, "layers": 2},
    ).eval()
    tensors = {prefix + name: tensor.half() for name, tensor in model.state_dict().items()}
    tensors[f"{prefix}positional_embedding_res"] = torch.randn(LONG, 64).half()
    return model, tensors


@pytest.mark.parametrize("prefix", ["", "module."])
def test_both_tables_count_as_in_the_authors_forward_pass(prefix, tmp_path, photographs):
    model, tensors = a_longclip(prefix)
    torch.save(tensors, tmp_path / "longclip-T.pt")
    folder = tmp_path / "longclip"
    convert_longclip.main([str(tmp_path / "longclip-T.pt"), str(folder)])
    long = ClipRelevance(ClipCheckpoint(str(folder)))

    state = {k.removeprefix("module."): v.float() for k, v in tensors.items()}
    second = state.pop("positional_embedding_res")
    first = torch.zeros(LONG, 1)
    first[:20] = 1
    state["positional_embedding"] = state["positional_embedding"] * first + second * (1 - first)
    model.load_state_dict(state)
    questions = ["a cat", "a cat " * 100, "a cat " * 101]
    tokens = long.tokenizer(questions)
    assert tokens.shape == (3, LONG)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.encode_text(tokens), dim=-1)
    image = long.prepare(decode(photographs["square"].read_bytes()))
    found = long.relevance([image] * 3, questions, [1])
    assert [one.facts for one in found] == [{}, {}, {}], "none is cut"
    ours = torch.stack([one.embedding for one in long._encode_questions(questions)])
    torch.testing.assert_close(ours, expected)
    assert (expected[1] - expected[2]).abs().max() > 1e-3


def test_another_checkpoint_is_no_longclip():
    _, tensors = a_longclip()
    del tensors["positional_embedding_res"]
    with pytest.raises(ValueError, match="not a LongCLIP checkpoint"):
        convert_longclip.convert(tensors)

"""A question that is longer than CLIP's context is cut, and that is said."""

from __future__ import annotations

import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.clip.model import are_cut
from api_cli.relevance.llava.checkpoint import DEMO_FOLDER
from api_cli.runs.pictures import decode
from tests.conftest import read_json_lines

pytestmark = pytest.mark.model
LENGTH = 12


def questions(longest: int) -> list[str]:
    """Of one word, two words, ..."""
    return ["cat " * n for n in range(1, longest + 1)]


def test_a_question_is_cut_where_the_end_of_text_token_takes_a_words_place():
    tokenizer = open_clip.SimpleTokenizer(context_length=LENGTH)
    texts = questions(LENGTH)
    room = LENGTH - 2  # start and end of text
    assert are_cut(tokenizer, texts, tokenizer(texts)) == [n > room for n in range(1, LENGTH + 1)]


@pytest.mark.parametrize("pads_with", ["another token", "the end of text"])
@pytest.mark.parametrize("ends", [True, False])
def test_tokenizers_of_transformers_tell_as_well(ends, pads_with, tmp_path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(DEMO_FOLDER)
    end = tokenizer.eos_token
    if pads_with == "the end of text":
        tokenizer.pad_token = end
    tokenizer.padding_side = "right"
    adds = f"$A {end}" if ends else "$A"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=adds, special_tokens=[(end, tokenizer.eos_token_id)]
    )
    tokenizer.save_pretrained(tmp_path)
    ours = HFTokenizer(str(tmp_path), context_length=LENGTH, strip_sep_token=False)
    texts = [text.strip() for text in questions(2 * LENGTH)]
    lengths = [len(ours.tokenizer(text)["input_ids"]) for text in texts]
    assert min(lengths) <= LENGTH < max(lengths)
    assert are_cut(ours, texts, ours(texts)) == [length > LENGTH for length in lengths]


def test_the_same_cut_question_is_marked_each_time(photographs):
    model = ClipRelevance(ClipCheckpoint("demo"))
    image = model.prepare(decode(photographs["square"].read_bytes()))
    long = "a very long question " * 100
    for _ in range(2):
        found = model.relevance([image, image], ["a cat", long], [1])
        assert [one.facts for one in found] == [{}, {"question_cut": True}]
    cut = model.tokenizer([long])[0]
    assert torch.equal(cut, model.tokenizer([long + " or not"])[0])


def test_a_run_counts_what_was_cut_also_from_kept_maps(
    make_dataset, photographs, apiprompt, tmp_path
):
    data_root = make_dataset(photographs, question=["why " * 500] * len(photographs))
    for coe in (1, 5):
        result = apiprompt(
            "clip", "--dataset", "imagefolder", "--data-root", data_root, "--model-name", "demo",
            "--range", "0", "2", "--enhance-coe", coe, "--output-folder", tmp_path / "out",
        )  # fmt: skip
        assert "2 questions are longer than the model's context and were cut" in " ".join(
            result.stderr.split()
        )
        [manifest] = (tmp_path / "out").glob(f"*/{coe}_*/metadata.jsonl")
        assert [row["question_cut"] for row in read_json_lines(manifest)] == [True, True]

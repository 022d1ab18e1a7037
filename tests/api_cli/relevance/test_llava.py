"""LLaVA beside parity: neighbours in a batch, answers, highlights, prompts, precision, memory."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from api_cli import llava_api
from api_cli.errors import ModelError, UsageError
from api_cli.options.prompt import PROMPT_TEMPLATE, check_template, fill
from api_cli.relevance.llava import LlavaRelevance, attention_map
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.runs.pictures import decode
from tests.conftest import QUESTIONS, read_json_lines, write_llava


@pytest.fixture(scope="module")
def checkpoint(llava_folder) -> LlavaCheckpoint:
    return LlavaCheckpoint(str(llava_folder("grouped")))


@pytest.fixture(scope="module")
def model(checkpoint) -> LlavaRelevance:
    return LlavaRelevance(checkpoint)


def images(model, photographs, *names):
    return [model.prepare(decode(photographs[name].read_bytes())) for name in names]


def test_a_sample_does_not_depend_on_its_neighbours(model, photographs):
    names = ("square", "wide", "tall", "grey")
    batch = images(model, photographs, *names)
    questions = ["?", "Why is it so, and since when, and who says that it is?" * 3, *QUESTIONS[:2]]
    together = model.relevance(batch, questions, [0, 2])
    for image, question, (maps, facts) in zip(batch, questions, together, strict=True):
        [alone] = model.relevance([image], [question], [0, 2])
        np.testing.assert_allclose(alone.maps, maps, atol=1e-6)
        assert alone.facts == facts
    assert len({facts["auxiliary_tokens"] for _, facts in together}) > 1


def test_a_map_is_a_mean_of_distributions(model, photographs):
    [(maps, _)] = model.relevance(images(model, photographs, "tall"), ["what?"], [0, 1, 2])
    assert maps.shape == (3, 1, 10, 10)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps.sum(axis=(-2, -1)), 1, rtol=1e-5)


def test_grouped_heads_share_their_keys():
    q, k = torch.randn(2, 6, 8), torch.randn(2, 3, 5, 8)
    expected = torch.stack(
        [(q[:, h : h + 1] @ k[:, h // 2].mT * 0.3).softmax(dim=-1)[:, 0] for h in range(6)]
    ).mean(dim=0)
    torch.testing.assert_close(attention_map(q, k, 0.3), expected)


def test_only_layers_that_are_read_are_watched_and_nothing_stays(model, photographs):
    model.relevance(images(model, photographs, "wide"), ["what?"], [1])
    blocks = model.model.model.language_model.layers
    assert not any(hasattr(block.self_attn, "relevance_reader") for block in blocks)
    assert model.model.config.vision_config._attn_implementation == "sdpa"


def test_passes_of_the_highlighted_words_alone_count(checkpoint, model, photographs):
    [image] = images(model, photographs, "square")
    [whole] = model.relevance([image], ["what?"], [0])
    answer = model._decode(model.tokenizer(whole.facts["auxiliary_answer"])["input_ids"])
    absent = LlavaRelevance(checkpoint, highlight="no such words")
    [found] = absent.relevance([image], ["what?"], [0])
    assert found.facts == {**whole.facts, "highlighted": False}
    np.testing.assert_array_equal(found.maps, whole.maps)

    first = LlavaRelevance(checkpoint, highlight=answer[:1].upper())
    [found] = first.relevance([image], ["what?"], [0])
    assert found.facts["highlighted"] is True
    one = LlavaRelevance(checkpoint, max_new_tokens=1)
    np.testing.assert_allclose(
        found.maps, one.relevance([image], ["what?"], [0])[0].maps, atol=1e-6
    )
    assert np.abs(found.maps - whole.maps).max() > 1e-4


def test_which_passes_produced_a_text(model):
    tokens = torch.tensor(model.tokenizer("yes no red", add_special_tokens=False)["input_ids"])
    passes = model._passes_of("NO", tokens)
    produced = model._decode(tokens[passes])
    assert "no" in produced
    assert "yes" not in produced
    assert "red" not in produced
    assert not model._passes_of("blue", tokens).any()


def test_prompts():
    tokens = fill(PROMPT_TEMPLATE, " what is <image> this?\n", "<image>" * 3)
    assert tokens.count("<image>") == 3
    assert tokens.endswith("USER: <image><image><image>\nwhat is  this? ASSISTANT:")
    assert fill("{question} <image>", "{question}?", "@") == "{question}? @"
    for template in ("no image {question}", "<image> no question", "<image><image>{question}"):
        with pytest.raises(ValueError, match="once each"):
            check_template(template)


def test_a_question_too_long_for_the_context_fails_alone(make_dataset, apiprompt, tmp_path):
    write_llava(tmp_path / "short", context=400)
    questions = ["what?", "what is that " * 1000, "who?"]
    data_root = make_dataset(question=questions)
    apiprompt(
        "llava", "--dataset", "imagefolder", "--data-root", data_root,
        "--model-name", tmp_path / "short", "--batch-size", "3", status=3,
    )  # fmt: skip
    [run] = tmp_path.glob("experiments/APILLaVA_imagefolder_short_1/5_3_LANCZOS_0")
    assert len(read_json_lines(run / "metadata.jsonl")) == 2
    [failed] = read_json_lines(run / "errors.jsonl")
    assert failed["key"] == "wide"
    assert "the model at most 400" in failed["error"]


@pytest.mark.parametrize("question", ["猫はどこですか", "\U0001f408?", "מה צבע החתול", "</s><pad>"])
def test_any_question_is_read(question, model, photographs):
    [(maps, facts)] = model.relevance(images(model, photographs, "wide"), [question], [1])
    assert np.isfinite(maps).all()
    assert json.dumps(facts)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_gives_nearly_the_same_map(precision, checkpoint, model, photographs):
    low = LlavaRelevance(checkpoint, precision=precision, max_new_tokens=1)
    one = LlavaRelevance(checkpoint, max_new_tokens=1)
    batch = images(model, photographs, "wide", "tall")
    for ours, theirs in zip(
        low.relevance(batch, ["what?", "a longer one?"], [1]),
        one.relevance(batch, ["what?", "a longer one?"], [1]),
        strict=True,
    ):
        assert low.model.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        assert np.corrcoef(ours.maps.ravel(), theirs.maps.ravel())[0, 1] > 0.99


def test_a_large_model_may_be_spread(checkpoint, model, photographs, monkeypatch):
    """Where one GPU does not do, accelerate's device map places the layers; here, on the CPU."""
    monkeypatch.setattr("api_cli.relevance.llava.found.has_room", lambda *_: False)
    spread = LlavaRelevance(checkpoint, device="auto")
    batch = images(model, photographs, "wide")
    [ours], [theirs] = (m.relevance(batch, ["what?"], [1]) for m in (spread, model))
    np.testing.assert_allclose(ours.maps, theirs.maps, atol=1e-6)


def test_a_tower_without_a_cls_token(tmp_path, photographs):
    write_llava(tmp_path / "siglip", image_size=56, siglip=True)
    model = LlavaRelevance(LlavaCheckpoint(str(tmp_path / "siglip")))
    [(maps, _)] = model.relevance(images(model, photographs, "wide"), ["what?"], [0])
    assert maps.shape == (1, 1, 4, 4)
    np.testing.assert_allclose(maps.sum(), 1, rtol=1e-5)


def test_the_library_function(llava_folder, photographs):
    folder = str(llava_folder("six-by-six"))
    paths = [photographs["square"], photographs["wide"]]
    masked = llava_api(paths, ["what?", "who is it?"], folder, batch_size=2, layer_index=2)
    assert [image.size for image in masked] == [(256, 256), (350, 211)]
    again = llava_api(paths, ["what?", "who is it?"], folder, layer_index=None)
    for one, other in zip(masked, again, strict=True):
        assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 1
    with pytest.raises(UsageError, match="layers 0 to 3"):
        llava_api(paths, ["what?", "who?"], folder)
    with pytest.raises(UsageError, match="2 images but 1 queries"):
        llava_api(paths, ["what?"], folder)
    with pytest.raises(UsageError, match="grayscale"):
        llava_api(paths, ["what?", "who?"], folder, grayscale=300)


def test_kept_maps_bring_their_answers_and_are_not_mixed(
    llava_folder, make_dataset, apiprompt, tmp_path
):
    def run(*flags: object) -> str:
        return apiprompt(
            "llava", "--dataset", "imagefolder", "--data-root", make_dataset(),
            "--model-name", llava_folder("six-by-six"), *flags,
        ).stderr  # fmt: skip

    assert "loading" in run()
    assert "loading" not in run("--enhance-coe", "1,10"), "the maps were kept"
    rows = [
        read_json_lines(path)
        for path in sorted(tmp_path.glob("experiments/APILLaVA_*/*/metadata.jsonl"))
    ]
    assert len(rows) == 3
    facts = [[(row["auxiliary_answer"], row["auxiliary_tokens"]) for row in one] for one in rows]
    assert facts[0] == facts[1] == facts[2]
    for flags in (("--max-new-tokens", "1"), ("--prompt-template", "{question}\\n<image>")):
        assert "loading" in run("--output-folder", "experiments", "--grayscale", "9", *flags)
        [folder] = tmp_path.glob("experiments/APILLaVA_*/5_3_LANCZOS_9")
        for path in folder.iterdir():
            path.unlink()


def test_another_prompt_is_never_mixed_in(llava_folder, make_dataset, apiprompt):
    flags: tuple[object, ...] = ("llava", "--dataset", "imagefolder")
    flags += ("--data-root", make_dataset(), "--model-name", llava_folder("six-by-six"))
    apiprompt(*flags)
    refused = apiprompt(*flags, "--max-new-tokens", "3", status=1)
    assert "max_new_tokens is 3, was 20" in refused.stderr


def test_out_of_memory_at_batch_size_1_ends_the_run(model, photographs, tmp_path, monkeypatch):
    """Only a GPU raises it; the model's generation is made to."""
    from functools import partial

    from api_cli.masking import MaskSettings
    from api_cli.masking.methods import LLAVA
    from api_cli.relevance import Read
    from api_cli.relevance.fit import grid_part
    from api_cli.runs.belt import Belt
    from api_cli.runs.jobs import Job, Variant
    from api_cli.runs.run_folder import RunFolder
    from datasets_manager import Sample

    sizes = []

    def generate(**inputs: torch.Tensor) -> torch.Tensor:
        sizes.append(len(inputs["input_ids"]))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model.model, "generate", generate)
    variant = Variant((Read(1),), MaskSettings(), RunFolder(tmp_path, {}, {}, image_format="jpg"))
    jobs = [Job(Sample(str(i), i, photographs["wide"], "what?"), (variant,)) for i in range(4)]
    locate = partial(grid_part, "paper", grid=(10, 10))
    with pytest.raises(ModelError, match="out of memory at batch size 1; use a smaller model"):
        Belt(LLAVA, lambda: model, locate, batch_size=4).run(jobs)
    assert sizes == [4, 2, 1]

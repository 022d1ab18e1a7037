"""Tiny models of every family, each written and loaded once."""

from __future__ import annotations

import importlib.util
from functools import cache

import pytest
from transformers import CONFIG_MAPPING

from api_cli.relevance.llava.vlm import VlmRelevance
from api_cli.relevance.llava.vlm_checkpoint import VlmCheckpoint
from tests.tiny_vlms import write_vlm


@pytest.fixture(scope="session")
def vlm_folder(tmp_path_factory):
    """Write a model of a family, or skip where its parts are not installed."""

    @cache
    def make(setup):
        if setup == "smolvlm" and importlib.util.find_spec("num2words") is None:
            pytest.skip("SmolVLM's processor needs num2words")
        if setup == "molmo2" and setup not in CONFIG_MAPPING:
            pytest.skip("this transformers has no Molmo2")
        folder = tmp_path_factory.mktemp("vlm") / setup
        write_vlm(folder, setup)
        return folder

    return make


@pytest.fixture(scope="session")
def vlm(vlm_folder):
    """Load a model of a family."""

    @cache
    def load(setup):
        return VlmRelevance(VlmCheckpoint(str(vlm_folder(setup))), max_new_tokens=5)

    return load

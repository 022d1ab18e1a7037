"""A finished sample's row of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api_cli.runs.columns import column_name
from api_cli.runs.jobs import Loaded, Written


def manifest_row(loaded: Loaded, facts: Mapping[str, Any], written: Written) -> dict[str, Any]:
    """What is known of a sample; what the dataset knows keeps its name where that is free.

    With another sample's mask it says whose, instead of what the model found out about that one.

    Args:
        loaded: the sample.
        facts: what the model found out beside the map; of another sample, whose mask this one
            has, it is said instead whose.
        written: its pictures, and what was found out in making them.
    """
    sample, mask_of = loaded.job.sample, loaded.subject.key
    return {
        **written.file_names,
        "key": sample.key,
        "index": sample.index,
        "question": sample.question,
        **({} if sample.hint is None else {"query": sample.hint}),
        **(facts if mask_of == sample.key else {"mask_of": mask_of}),
        **{column_name(name): value for name, value in sample.extra.items()},
        "image_sha256": loaded.picture.sha256,
        "flat": written.flat,
        **written.facts,
    }

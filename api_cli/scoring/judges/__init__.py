"""The judges, a file a published one, and the table of their names."""

from __future__ import annotations

from api_cli.scoring.judges.judge import Judge
from api_cli.scoring.judges.llava_bench import LLAVA_BENCH
from api_cli.scoring.judges.mm_vet import MM_VET

__all__ = ["JUDGES", "Judge"]

JUDGES = {"judge:mmvet": MM_VET, "judge:llava": LLAVA_BENCH}

"""`python -m experiments.study`: the whole study, or the same questions put to any set and model.

    python -m experiments.study                                    # drawn scenes, the demo models
    python -m experiments.study --dataset mmvet --model llava-1.5-13b \
        --base-url http://localhost:8000/v1 --judge-model gpt-4-0613 \
        --judge-base-url https://api.openai.com/v1

Stop it at any instant: the same command goes on. docs/study.md says what came out.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from api_cli.errors import ApipromptError, UsageError
from datasets_manager import DatasetError
from experiments.study.any_set import AnySet, commands
from experiments.study.drawn import LEVELS, Plan, confirm, study_level
from experiments.study.page import write_page
from experiments.study.plots import draw_plots
from experiments.study.program import apiprompt, line

ROOT = Path(__file__).parents[2]
WORK = Path("experiments", "study", "work")


def main() -> None:
    """Command line."""
    args = _arguments()
    try:
        if args.dataset:
            ask_any_set(args)
        else:
            study_drawn_scenes(args)
    except (ApipromptError, DatasetError) as error:
        sys.exit(f"Error: {error}")


def study_drawn_scenes(args: argparse.Namespace) -> None:
    """Every level, then the page."""
    if find_spec("matplotlib") is None:  # said before the time is spent
        raise UsageError("the plots need matplotlib: pip install '.[study]'")
    sizes = (args.scenes, args.report_scenes, args.confirm_scenes)
    plan = Plan(args.work, args.model or "demo", *sizes)
    results = [study_level(level, plan) for level in args.levels]
    confirmed = confirm(results, plan)
    page: Path = args.page
    write_page(page, results, confirmed, draw_plots(results, page.with_suffix("")))
    print(page)


def ask_any_set(args: argparse.Namespace) -> None:
    """Mask, ask, score, compare; with --dry-run, say the lines for a shell."""
    if not args.model:
        raise UsageError("--dataset needs --model: who is asked, as the server knows it")
    names = AnySet._fields
    wanted = AnySet(
        **{name: getattr(args, name) for name in names if name != "work"},
        work=args.work / args.dataset,
    )
    for words in commands(wanted):
        if args.dry_run:
            print(line(*words))
        else:
            print("\n".join(apiprompt(*words)), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.study", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--work", type=Path, default=WORK, help="folder of all that is made")
    parser.add_argument("--model", help="who is asked; default demo, in this process")
    drawn = parser.add_argument_group("drawn scenes")
    drawn.add_argument("--scenes", type=int, default=200, help="a level, to choose settings on")
    drawn.add_argument("--report-scenes", type=int, default=400, help="others, to report on")
    drawn.add_argument(
        "--confirm-scenes", type=int, default=600, help="further ones, where masks help most"
    )
    drawn.add_argument("--levels", nargs="+", choices=LEVELS, default=LEVELS)
    drawn.add_argument("--page", type=Path, default=ROOT / "docs" / "study.md")
    other = parser.add_argument_group("any set")
    other.add_argument("--dataset", help="as `apiprompt datasets` lists it")
    other.add_argument("--data-root", type=Path)
    other.add_argument("--base-url", help="of the server asked; without, a model in this process")
    other.add_argument("--judge-model", help="for sets that a judge scores, such as mmvet")
    other.add_argument("--judge-base-url")
    other.add_argument("--mask", default="", help="further flags of `apiprompt clip`, in quotes")
    other.add_argument("--ask", default="", help="further flags of `apiprompt ask`, in quotes")
    other.add_argument("--dry-run", action="store_true", help="say the lines for a shell")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""When does showing where to look help? `python -m experiments.study`; docs/study.md has results."""

"""When does showing where to look help? docs/study.md has what came out."""

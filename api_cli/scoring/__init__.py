"""Answers in, scores, comparisons and exports out; offline but for judges, and without torch."""

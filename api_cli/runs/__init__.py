"""Samples through a model into run folders: belt, ledgers, kept maps, plan."""

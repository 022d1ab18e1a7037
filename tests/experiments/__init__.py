"""Tests of what users run from experiments/."""

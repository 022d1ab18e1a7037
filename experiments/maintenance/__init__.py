"""Checks of what the program stands on: its dependencies' versions and known faults."""

"""Errors that end a run with one clear line."""

from __future__ import annotations


class ApipromptError(Exception):
    """Something the user can mend; the message names the thing, the place and the way out."""


class UsageError(ApipromptError):
    """A flag, an environment variable or a configuration that is wrong: exit status 2."""


class ModelError(ApipromptError):
    """An auxiliary model that cannot be had, loaded or read: exit status 1."""


class RunFolderError(ApipromptError):
    """A run folder that must not be written into: exit status 1."""

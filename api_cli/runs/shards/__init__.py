"""Runs into shards, on any file system: a shard that stands is the only state there is."""

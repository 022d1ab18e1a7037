"""What does the fragments of a run into shards: this process, or the actors of a Ray cluster."""

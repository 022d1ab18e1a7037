"""Pictures and questions in, answers out: a server, or a model in this process."""

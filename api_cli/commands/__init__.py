"""The subcommands, a file each, no logic of their own."""

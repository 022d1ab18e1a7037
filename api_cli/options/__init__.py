"""What a user may say: parsers, options, configurations, flags, and a launcher's environment."""

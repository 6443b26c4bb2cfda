"""The `flywheel` command and what it shows."""

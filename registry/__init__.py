"""WHO WON: the only hand-off from training to serving."""

"""The confidence above which a student may serve, with a proof."""

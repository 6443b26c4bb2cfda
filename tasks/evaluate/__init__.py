"""Students on frozen test sets, beside champions and trivial baselines."""

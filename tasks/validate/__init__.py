"""Each call checked by itself, and the batch with Great Expectations."""

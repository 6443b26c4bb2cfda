"""What `tasks.validate` checks: each call by itself, and the batch with Great Expectations."""

"""What `tasks.evaluate` is made of: answers, metrics, and the lines of a scorecard."""

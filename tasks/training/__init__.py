"""What `tasks.train` is made of: fitting, trials, and several processes."""

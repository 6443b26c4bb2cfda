"""What `tasks.dataset` is made of: rows, their cleaning and their splits."""

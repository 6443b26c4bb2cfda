"""What `tasks.cluster` is made of: groups of calls, their templates, names and identities."""

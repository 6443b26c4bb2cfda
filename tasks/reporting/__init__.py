"""What `tasks.report` is made of: days, nights, charts and the page."""

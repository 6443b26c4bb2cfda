"""What people read: days, nights, charts and the page."""

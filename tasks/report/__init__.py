"""Reports for people: days, nights, charts and the page."""

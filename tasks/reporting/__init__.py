"""For people to read: days, nights, charts, the page, and texts before and after."""

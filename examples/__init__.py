"""A sample agent (the support desk of an online shop) and the simulated large model it calls."""

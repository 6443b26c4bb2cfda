"""The recurring tasks, each with its template, contract and lasting id."""

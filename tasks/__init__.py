"""WHAT each hop does: plain typed functions, files in, files out; no orchestrator, no server."""

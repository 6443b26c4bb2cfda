"""Calls out of logs: any source, any dialect, one canonical record."""

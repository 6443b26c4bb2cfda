"""One file per log format, each with `sniff(document)` and `parse(document, source)`."""

"""The bundled nano base model and the programs that make it: `python -m bases.pretrain --help`."""

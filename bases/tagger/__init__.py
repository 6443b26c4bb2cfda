"""The tagger's adapter, its training text (`text`) and the program that trains it (`train`)."""

"""The tagger's adapter, the text it was trained on (`text`) and the program that trains it (`train`)."""

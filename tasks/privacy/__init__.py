"""What `tasks.deidentify` is made of: finding personal data, and surrogates in its place."""

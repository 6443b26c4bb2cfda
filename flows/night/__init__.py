"""What a night does, step by step. No Prefect here."""

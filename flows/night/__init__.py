"""The steps of a night. No Prefect here."""

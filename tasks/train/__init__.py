"""Students: heads and LoRA adapters, from rows to an adapter folder."""

"""The models: linear and LoRA students of the encoder, and causal ones, and how they answer."""

"""Parts that the dialects share: streams, spans, other providers' words in OpenAI's shape."""

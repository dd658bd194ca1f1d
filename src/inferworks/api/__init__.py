"""What a customer calls: an OpenAI-compatible HTTP API."""

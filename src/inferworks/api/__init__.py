"""HTTP API for customers, compatible with OpenAI's, Anthropic's and Stability's."""

"""The methods of ``LLMManager``, by what they are about; each has an async twin."""

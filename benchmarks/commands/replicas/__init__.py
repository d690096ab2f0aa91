"""Commands that measure a model with several replicas, one a file."""

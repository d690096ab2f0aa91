"""Admin pages of models without a file: upstreams, their models, routes."""

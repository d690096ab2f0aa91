"""/v1/admin of models without a file: upstreams, their models, routes."""

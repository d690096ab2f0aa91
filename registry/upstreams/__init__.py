"""What upstreams stand on: their keys at rest, and which addresses they may have."""

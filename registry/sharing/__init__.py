"""Model files from one node to another, in the tunnel (docs/adr/0044).

A file is asked for by the fingerprint of its model and its number among the shards: no
path comes over the network. Knows no Django.
"""

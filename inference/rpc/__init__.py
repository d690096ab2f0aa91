"""One model on several machines: the tunnel to llama.cpp's RPC backend on another.

llama.cpp's protocol has no authentication. So its server listens on a Unix socket only,
and what comes from another machine comes through a tunnel: TLS, and a secret that both
sides prove to know (docs/adr/0040). Knows no Django and no llama.cpp.
"""

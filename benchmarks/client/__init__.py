"""The client that sends a load and checks every answer."""

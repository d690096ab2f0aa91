"""Images and sounds in requests: parts of messages, and processes that decode them."""

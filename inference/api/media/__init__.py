"""Images in requests: parts of messages, decoded in processes of their own."""

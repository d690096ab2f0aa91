"""Images and sounds in prompts: as a request has them, and as the model reads them."""

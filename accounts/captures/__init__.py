"""What requests of a key say, and their answers, while their capture is on."""

"""Other people's clients: their own integration tests, straight and through the proxy (``make foreign``)."""

"""S3 over Twisted: signing, credentials, a small client, and uploads of any length in bounded memory."""

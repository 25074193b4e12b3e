"""Resumable uploads without a door: which request may publish, explored by a model."""

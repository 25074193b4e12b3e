"""Resumable uploads without a door: who may publish, explored by a model."""

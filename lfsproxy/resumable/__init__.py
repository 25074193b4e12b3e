"""Uploads that outlive a connection and a process: their state is in the store, in the memory of none.

state is what lies under ``lfs-uploads/{id}/`` and how it is read and written; writer turns bytes into parts;
session is one request's work on an upload; publication publishes at most once; uploads puts it together.
Knows neither HTTP nor tus.
"""

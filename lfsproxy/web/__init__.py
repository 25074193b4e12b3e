"""The HTTP door: uploads that stream through claimcheck, health, and errors as RFC 9457 problems.

channel and request make Twisted's server hand over a request when its headers are there; body is what a
handler reads; ingest is one upload; api has the routes; site puts them together.
"""

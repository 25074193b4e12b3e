"""The HTTP door: uploads that stream through claimcheck, health, and errors as RFC 9457 problems.

channel and request make Twisted's server hand over a request when its headers are there. The operations are
declared once (declared, tus_declared); routes asks the gate and calls their handlers (records, tus, download,
health, pages). A handler reads the body, and an ingest is one upload. The site has the connections, and door
puts all together.
"""

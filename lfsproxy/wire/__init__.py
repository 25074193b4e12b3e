"""The Kafka wire, sans-I/O: bytes in, events and bytes out. Imports no Twisted.

``frames`` cuts a byte stream; ``produce`` reads and writes Produce requests, ``answers`` their answers,
``fetch`` and ``fetch_answers`` those of Fetch, ``share_answers`` the end of share groups' answers; ``batch``
knows a record batch's header, ``records`` reads its records as they arrive, ``scan`` reads one that is held
whole, ``lookup`` takes one record out, ``rewrite`` writes it anew; ``walk`` goes through batches that were
fetched, ``aborted`` tells which of them a consumer skips, ``hydrate`` writes them anew around blobs;
``marks`` knows what headers ask for; ``apis`` has the APIs' names, ``versions`` is the table of what the
proxy understands of them, ``addresses`` rewrites the brokers that answers name; ``metadata``,
``list_offsets``, ``topic_ids`` and ``sasl`` have the proxy's own questions, ``asking`` their frame;
``routing`` says what becomes of a request, ``plain`` takes the quick look at most of them. Below them are
``chunks``, ``primitives``, and the codecs: ``decompress``, ``compress`` and ``snappy``.
"""

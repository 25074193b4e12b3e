"""Faults between the proxy, S3, Kafka and clients, under a steady load through both doors.

``link`` is what stands between two sides, ``store_link`` the same for S3's requests, ``scene`` the servers,
``load`` the clients, ``store_cases``, ``kafka_cases`` and ``other_cases`` say what goes wrong, ``run`` has it
happen and looks what came of it, ``upkeep`` runs gc and fsck at the end, ``report`` prints the table.
"""

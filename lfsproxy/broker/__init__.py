"""kafka-python behind our interfaces: its blocking calls run in threads of their own, never the reactor's."""

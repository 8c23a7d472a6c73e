"""How an index of an older EchoStream becomes today's."""

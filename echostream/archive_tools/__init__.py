"""`echostream recordings`: what is in the archive, and how it gets out of it, with a gateway or without."""

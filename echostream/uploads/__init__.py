"""Recordings to a bucket: which ones, under which name, in which order, and until they are there.

Only `client.py` knows botocore, and loads it when something is to be sent (0.3 s).
"""

"""Servers that tests talk to: started on 127.0.0.1, on free ports, with their data in a temporary directory."""

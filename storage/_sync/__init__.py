"""Syncs whole stores, and does other bulk work on key ranges, in this process or by an executor.

- ``run``: the course of a sync; ``overlap``: refuses to sync a store to itself.
- ``engine``: syncs a key range in this process. ``plan`` compares the listings, ``spool`` keeps the plan on disk, ``copying``
  copies and verifies one blob (by its ``digest``), ``pace`` holds the threads back, ``account`` counts and reports.

Nothing is imported here: :mod:`storage` shows the types, and the rest is loaded by the first sync.
"""

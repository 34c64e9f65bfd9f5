"""Syncs whole stores, and does other bulk work on key ranges, in this process or by an executor.

In this process: ``run`` runs a sync, ``overlap`` refuses to sync a store to itself, ``engine`` syncs a key range: ``plan``
compares the listings, ``spool`` keeps the plan on disk, ``copying`` copies and verifies one blob (by its ``digest``), ``pace``
slows the threads down, ``account`` counts and reports.

By an executor: ``splitting`` finds key ranges of about equal size (by the ``alphabets`` of the keys), ``scheduler`` runs work on
them, ``work`` is what the workers do (a sync is the engine again), ``stores`` sends them the stores, ``journal`` remembers at
the destination which ranges are done, and ``bulk`` combines all that. ``processes`` is a pool that survives its
workers.

Nothing is imported here: :mod:`storage` shows the types, and the rest is loaded by the first sync.
"""

"""Syncing two stores: plan everything, copy in parallel, delete last.

A plan is made of both listings before anything is changed, and kept on disk. So a listing that fails has deleted nothing,
one that is out of order does no harm, and the totals are known from the start.

Nothing is imported here: :mod:`storage` shows the types, and the engine is loaded by the first sync.
"""

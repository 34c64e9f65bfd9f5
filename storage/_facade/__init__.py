"""The methods of ``Storage``, a room for each subject. ``storage._storage`` puts them together."""

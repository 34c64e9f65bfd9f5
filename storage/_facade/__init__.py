"""The methods of ``Storage``, one module for each subject. ``storage._storage`` combines them in one class."""

"""Face collections, searchable and editable by attribute, at dataset scale, on Ray."""

__version__ = "0.1.0"

"""The small model that ships with the package, until one from the real recipes replaces it."""

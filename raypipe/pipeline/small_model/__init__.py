"""The small model that ships with the package: trained by the package's own recipes on made-up faces."""

"""Model packages: schema, search, verification, installation and import of other people's models."""

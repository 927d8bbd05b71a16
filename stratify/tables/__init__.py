"""Files to checked tables: dictionaries, study tables, cells with units, findings."""

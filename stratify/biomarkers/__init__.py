"""What laboratories measure, read into features: one module a kind of measurement."""

"""What a model knows of its own doubt."""

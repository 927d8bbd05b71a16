"""LightGBM members as arrays, scored and explained by compiled loops."""

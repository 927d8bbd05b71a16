"""Facts and figures shown: plots and self-contained HTML."""

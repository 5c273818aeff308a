"""The self-contained page of the report."""

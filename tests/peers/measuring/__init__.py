"""The measuring side: prepares, starts one system at a time, asks it for its figures, and cleans up."""

"""Pages, charts and contact sheets of every job."""

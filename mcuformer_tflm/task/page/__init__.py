"""A run's report as one page of HTML: what is kept for it, its figures, and the page itself."""

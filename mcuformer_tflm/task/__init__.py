"""The whole flow of one task: data, search, training, report."""

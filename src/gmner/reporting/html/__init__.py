"""The report: one page, without network."""

"""The report: one page that shows what the configured runs gave, and every test tweet behind the numbers."""

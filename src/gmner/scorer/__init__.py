"""The reference scorer: anybody's predictions against the annotation, in their own formats."""

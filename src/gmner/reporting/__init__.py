"""Stages 9 and 10: tables, figure, report, drawings."""

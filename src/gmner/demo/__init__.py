"""The embedded demo: nothing but the demo imports it."""

"""The page for the car's screen: its server, what it watches, and its files.

A process of its own; see docs/display.md.
"""

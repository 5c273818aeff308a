"""Figures of the report: a file of pens for each kind, one look, and the list of what a report
draws.
"""

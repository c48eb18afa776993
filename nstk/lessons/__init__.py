"""Lessons: small data sets with worksheets."""

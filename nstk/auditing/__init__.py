"""Auditing labeled data: unreadable files, duplicates, label errors, outliers, poor quality."""

"""The Akuity API: one query in, one page out."""

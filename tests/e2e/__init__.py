"""End to end: real targets, a real database and the real Meltano.

Not part of the default run. The tests install what they need beside the project.
"""

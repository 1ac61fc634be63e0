"""The programs that tap-akuity is compared with, written as their documentation says.

Each is a script that runs in its own environment. All read the configuration file of
tap-akuity.
"""

"""The programs that tap-akuity is compared with, as their documentations have them.

Each runs in an environment of its own, as a script: none of them imports another module
of this project. All read the same configuration file, the one of tap-akuity.
"""

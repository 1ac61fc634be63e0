"""The programs that tap-akuity is compared with: each in an environment of its own."""

"""Tests of the client, alone and in a sync."""

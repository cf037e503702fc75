"""Measures how fast orders go through, each figure beside what it is to be compared with, in the same run."""

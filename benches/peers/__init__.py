"""The programs that compare_with_peers.py compares fewbit with, each measured in a process of its own."""

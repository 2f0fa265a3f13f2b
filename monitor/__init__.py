"""The live page: is it working, and is it right? A subscriber in a group of its own."""

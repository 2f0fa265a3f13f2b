"""The reaction to a scored day: a condition that holds ends with 3 and a post."""

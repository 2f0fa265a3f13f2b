"""What a scored day was like, as a page for people and as text."""

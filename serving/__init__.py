"""The online way: the model behind HTTP, answering as it does on a topic."""

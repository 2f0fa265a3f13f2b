"""Read the dead letters of a topic, and send chosen ones back to it."""

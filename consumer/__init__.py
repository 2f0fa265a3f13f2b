"""The scoring service: events in, predictions and dead letters out, exactly once."""

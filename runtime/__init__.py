"""The shell that the applications share: settings, Kafka clients, logs, metrics, the terminal."""

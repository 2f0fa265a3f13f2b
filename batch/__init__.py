"""The batch way: a day's rows of a database in, predictions, a report and alerts out."""

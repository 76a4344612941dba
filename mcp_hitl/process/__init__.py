"""What every process that serves has: background workers, views of a desk, and the system's signals."""

"""What runs in the background: flows and their journal, and timers."""

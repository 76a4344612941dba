"""No server: what front-ends that speak the same protocol share."""

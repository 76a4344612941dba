"""Pure functions and frozen values, without I/O: what an approval is, and who may decide it."""

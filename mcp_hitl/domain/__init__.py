"""What an approval is and who may decide it: pure functions and frozen values, without I/O."""

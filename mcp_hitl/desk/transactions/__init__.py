"""What changes inside one transaction: one function for each thing that can happen to an approval."""

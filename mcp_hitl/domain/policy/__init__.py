"""Who may decide what: principals, people, kinds, rules, and the rulebook that a policy file becomes."""

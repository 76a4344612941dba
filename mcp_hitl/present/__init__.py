"""How things are shown to people, models and programs: views of an approval, and a policy in words."""

"""The rules, a module per noun, functions as verbs; each works in the transaction that it is given."""

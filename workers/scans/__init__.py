"""Looking for weaknesses inside guests: checks as data, evidence from one shell script a family, pure judges."""

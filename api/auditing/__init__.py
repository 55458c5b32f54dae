"""Auditing: every change and every refusal is written into the audit log, whichever view it was for."""

"""Every change and every refusal written into the audit log, whichever view it was for."""

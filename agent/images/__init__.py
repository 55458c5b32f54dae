"""Images that this host pulls from its fleet, stored by digest."""

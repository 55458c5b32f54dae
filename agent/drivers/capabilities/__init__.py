"""Small groups of verbs that some drivers have, as their capabilities say; each with the data it takes and gives."""

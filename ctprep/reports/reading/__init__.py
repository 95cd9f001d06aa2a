"""How a report reads: word lists of its language, sections, sentences, clauses."""

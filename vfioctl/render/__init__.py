"""Values to text: documents for programs, lines for people."""

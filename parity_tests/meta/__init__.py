"""The project's own tests: of the judge, the mutants, the bounds, the messages, the commands, fast, scoring, ranks."""

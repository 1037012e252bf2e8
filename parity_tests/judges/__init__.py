"""How each stage is judged: by elements, by survivors, by draws; `parity_tests.verdict.compare` is the way in."""
